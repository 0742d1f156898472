import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { OtherPages } from '../../../server/start/other-pages.ts';
import { servePage } from '../../../server/start/page-server.ts';
import { Part } from '../../../server/start/part.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'parley-start-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** Starts a part, does something with it once it is up, and gives the first line of its log that is not printed. */
function firstNoticed(script: string, once: (part: Part) => void = () => {}): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const part = new Part({
      name: 'part',
      colour: 'gray',
      script,
      args: [],
      describe: 'up',
      notice: (line) => {
        resolve(line);
        part.stop();
      },
    });
    part.start().then(() => once(part), reject);
  });
}

describe('the page server', () => {
  const status = (port: number, path: string) =>
    new Promise<number | undefined>((resolve, reject) => {
      // Not fetch, which would tidy the path up.
      request({ host: '127.0.0.1', port, path }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode));
      })
        .on('error', reject)
        .end();
    });

  it('serves what is in its folder and nothing else, and no path ends it', async () => {
    writeFileSync(join(directory, 'index.html'), 'the page');
    writeFileSync(join(directory, '..', 'parley-secret'), 'no');
    const config = { url: 'https://localhost:1/voice', certificateHashes: [], upstream: 'local' } as const;
    const server = await servePage(directory, 0, () => config);
    try {
      expect(await status(server.port, '/')).toBe(200);
      const bad = [
        '/%00',
        '/%',
        '//',
        '/../parley-secret',
        '/%2e%2e/parley-secret',
        '/..%2fparley-secret',
        '/x'.repeat(5000),
      ];
      for (const path of bad) expect(await status(server.port, path), path.slice(0, 20)).toBe(404);
      expect(await status(server.port, '/config.json')).toBe(200);
    } finally {
      server.close();
      rmSync(join(directory, '..', 'parley-secret'));
    }
  });
});

describe('the tokens of the demo page', () => {
  /** As a browser asks; fetch would not let the test choose these headers. */
  const ask = (port: number, headers: Record<string, string>) =>
    new Promise<{ status: number | undefined; text: string; headers: object }>((resolve, reject) => {
      request({ host: '127.0.0.1', port, path: '/token', headers }, (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => {
          text += chunk.toString();
        });
        response.on('end', () => resolve({ status: response.statusCode, text, headers: response.headers }));
      })
        .on('error', reject)
        .end();
    });

  it('are given to the page itself, to no page of another site and under no foreign name', async () => {
    const config = {
      url: 'https://voice.example:1/voice',
      certificateHashes: [],
      upstream: 'local',
    } as const;
    const mint = () => Promise.resolve('a.b.c');
    const server = await servePage(directory, 0, () => config, { mint });
    const without = await servePage(directory, 0, () => config);
    try {
      const outcome = async (headers: Record<string, string>) => (await ask(server.port, headers)).status;
      const given = await ask(server.port, { host: 'localhost:8080', 'sec-fetch-site': 'same-origin' });
      expect(given).toMatchObject({ status: 200, text: 'a.b.c' });
      expect(given.headers).not.toHaveProperty('access-control-allow-origin');
      expect(given.headers).toMatchObject({
        'cross-origin-resource-policy': 'same-origin',
        'cache-control': 'no-store',
      });
      for (const host of [
        '127.0.0.1:1',
        '[::1]:1',
        '192.168.1.20:8443',
        'a1.localhost:1',
        'voice.example:8443',
      ])
        expect(await outcome({ host }), host).toBe(200);
      for (const host of ['evil.example:8080', 'localhost.evil.example', 'x y'])
        expect(await outcome({ host }), host).toBeGreaterThanOrEqual(400);
      for (const site of ['cross-site', 'same-site'])
        expect(await outcome({ host: 'localhost:1', 'sec-fetch-site': site }), site).toBe(403);
      expect((await ask(without.port, { host: 'localhost:1' })).status).toBe(404);
    } finally {
      server.close();
      without.close();
    }
  });
});

describe('pages of other origins', () => {
  const ask = (port: number, path: string, headers: Record<string, string>) =>
    new Promise<{ status: number | undefined; text: string; allowed: string | undefined }>(
      (resolve, reject) => {
        request({ host: '127.0.0.1', port, path, headers }, (response) => {
          let text = '';
          response.on('data', (chunk: Buffer) => {
            text += chunk.toString();
          });
          const allowed = response.headers['access-control-allow-origin'];
          response.on('end', () => resolve({ status: response.statusCode, text, allowed }));
        })
          .on('error', reject)
          .end();
      },
    );

  it('read settings and get tokens when they are named, and hear nothing otherwise', async () => {
    const said: string[] = [];
    const own = { host: 'localhost:8080' };
    const named = { ...own, origin: 'http://localhost:5173', 'sec-fetch-site': 'same-site' };
    const other = { ...own, origin: 'https://app.example', 'sec-fetch-site': 'cross-site' };
    const config = {
      url: 'https://127.0.0.1:4433/voice',
      certificateHashes: ['ab'],
      tokenUrl: '/token',
      faults: ['cut'],
      upstream: 'local',
    } as const;
    const server = await servePage(directory, 0, () => config, {
      mint: async () => 'a.b.c',
      otherPages: new OtherPages([named.origin], (sentence) => said.push(sentence)),
    });
    try {
      const settings = await ask(server.port, '/config.json', named);
      expect(settings.allowed).toBe(named.origin);
      const { faults: _own, ...shared } = config;
      expect(JSON.parse(settings.text)).toEqual({ ...shared, tokenUrl: 'http://localhost:8080/token' });
      expect(await ask(server.port, '/token', named)).toEqual({
        status: 200,
        text: 'a.b.c',
        allowed: named.origin,
      });
      expect(said).toEqual([]);

      expect((await ask(server.port, '/config.json', other)).allowed).toBeUndefined();
      expect(await ask(server.port, '/token', other)).toMatchObject({ status: 403, allowed: undefined });
      expect((await ask(server.port, '/config.json', { ...own, origin: 'null' })).allowed).toBeUndefined();
      // Its own page names its origin where it posts.
      await ask(server.port, '/config.json', { ...own, origin: 'http://localhost:8080' });
      // A name that was made to lead here, and one that is none.
      for (const host of ['evil.example', 'x y'])
        expect((await ask(server.port, '/token', { ...named, host })).allowed, host).toBeUndefined();
      expect(said).toEqual([
        'A page of https://app.example may not call, and was refused. To let it, start with --origin https://app.example',
        'A page without an origin of its own (a file, or a frame in a sandbox) was refused: serve it over http.',
      ]);
    } finally {
      server.close();
    }
  });

  it('that are refused are named once each, and not without end', () => {
    const said: string[] = [];
    const pages = new OtherPages([], (sentence) => said.push(sentence));
    for (let i = 0; i < 1000; i++) pages.refused(`https://${i % 500}.example`);
    expect(said).toHaveLength(64);
    expect(new Set(said).size).toBe(64);
  });

  it('of which a backend refuses one in its log are told to who started it', async () => {
    const path = join(directory, 'part.mjs');
    const line = {
      level: 30,
      msg: 'session refused',
      outcome: 'origin-refused',
      origin: 'https://app.example',
    };
    writeFileSync(
      path,
      `console.log('{"msg":"ready"}'); console.log(${JSON.stringify(JSON.stringify(line))}); setInterval(() => {}, 1000);`,
    );
    const seen = await firstNoticed(path);
    expect(seen).toEqual(line);
  });
});

describe('a part of npm start', () => {
  const part = (script: string, without: readonly string[] = []) => {
    const path = join(directory, 'part.mjs');
    writeFileSync(path, script);
    return new Part({ name: 'part', colour: 'gray', script: path, args: [], describe: 'up', without });
  };

  it('warns of nothing while the others are stopped', async () => {
    const path = join(directory, 'part.mjs');
    const line = { level: 40, msg: 'backend-1 is dead' };
    writeFileSync(
      path,
      `console.log('{"msg":"ready"}'); setInterval(() => console.log(${JSON.stringify(JSON.stringify(line))}), 20);`,
    );
    const unsaid = await firstNoticed(path, (started) => started.hush());
    expect(unsaid).toEqual(line);
  });

  it('is not given the variables that are none of its business', async () => {
    process.env.PARLEY_TEST_SECRET = 'sk-secret';
    const script = `if (process.env.PARLEY_TEST_SECRET) throw new Error('it was given');
      console.log('{"msg":"ready"}'); setInterval(() => {}, 1000);`;
    try {
      await expect(part(script).start()).rejects.toThrow('it was given');
      const spared = part(script, ['PARLEY_TEST_SECRET']);
      await spared.start();
      spared.stop();
      await spared.stopped(5000);
    } finally {
      delete process.env.PARLEY_TEST_SECRET;
    }
  });
});
