import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type BreakablePart, type BreakableParts, FAULTS, FaultBench } from '../../../server/start/faults.ts';
import { servePage } from '../../../server/start/page-server.ts';
import { FaultRelay } from '../../../server/start/relay/fault-relay.ts';

const told: string[] = [];
let release: () => void = () => {};
const part = (name: string): BreakablePart => ({
  name,
  restart: (signal) => {
    told.push(`${name} ${signal}`);
    return new Promise((resolve) => {
      release = resolve;
    });
  },
  tell: (line) => void told.push(`${name} ${line}`),
});
const PARTS: BreakableParts = {
  realtime: [part('realtime')],
  backends: [part('backend-1'), part('backend-2')],
  forwarder: part('forwarder'),
};

let directory: string;
let relay: FaultRelay;
beforeEach(async () => {
  told.length = 0;
  directory = mkdtempSync(join(tmpdir(), 'parley-faults-'));
  relay = await FaultRelay.open(9);
});
afterEach(() => {
  relay.close();
  rmSync(directory, { recursive: true, force: true });
});

const config = { url: 'https://127.0.0.1:1/voice', certificateHashes: [], upstream: 'local' } as const;

function ask(port: number, path: string, method: string, headers: Record<string, string>) {
  return new Promise<{ status: number | undefined; text: string }>((resolve, reject) => {
    request({ host: '127.0.0.1', port, path, method, headers }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      response.on('end', () => resolve({ status: response.statusCode, text }));
    })
      .on('error', reject)
      .end();
  });
}

describe('the route that breaks things', () => {
  it('takes POST from the page itself alone, and is not there without npm start', async () => {
    const server = await servePage(directory, 0, () => config, {
      faults: new FaultBench(relay, () => PARTS),
    });
    const without = await servePage(directory, 0, () => config);
    const host = 'localhost:8080';
    const own = { host, origin: 'http://localhost:8080', 'sec-fetch-site': 'same-origin' };
    const path = '/faults?fault=upstream&backend=backend-1';
    try {
      const refused: (readonly [string, Record<string, string>, number])[] = [
        ['GET', own, 405],
        ['HEAD', own, 405],
        ['POST', { host }, 403],
        ['POST', { host, origin: 'null' }, 403],
        ['POST', { host, origin: 'https://evil.example', 'sec-fetch-site': 'cross-site' }, 403],
        ['POST', { host, origin: 'https://localhost:8080' }, 403],
        ['POST', { host, origin: 'http://localhost:9999', 'sec-fetch-site': 'same-site' }, 403],
        // A name that was made to lead here.
        [
          'POST',
          { host: 'evil.example', origin: 'http://evil.example', 'sec-fetch-site': 'same-origin' },
          403,
        ],
      ];
      for (const [method, headers, status] of refused)
        expect((await ask(server.port, path, method, headers)).status, JSON.stringify(headers)).toBe(status);
      expect(told).toEqual([]);
      expect(await ask(server.port, path, 'POST', own)).toMatchObject({ status: 200 });
      expect(told).toEqual(['realtime end']);
      expect((await ask(without.port, path, 'POST', own)).status).toBe(405);
      for (const odd of [
        '/faults',
        '/faults?fault=',
        '/faults?fault=toString',
        '/faults?fault=kill&backend=x',
      ])
        expect((await ask(server.port, odd, 'POST', own)).status, odd).toBe(409);
    } finally {
      server.close();
      without.close();
    }
  });
});

describe('the faults', () => {
  it('happen one at a time, to the backend of the call', async () => {
    const bench = new FaultBench(relay, () => PARTS);
    expect(bench.available).toEqual(FAULTS);
    const first = bench.run('kill', 'backend-2');
    expect(await bench.run('address', null)).toEqual({ ok: false, text: 'Another fault is not over yet.' });
    release();
    expect(await first).toMatchObject({
      ok: true,
      text: expect.stringMatching(/^backend-2 was killed, and was back/),
    });
    const second = bench.run('drain', 'backend-1');
    release();
    expect((await second).text).toMatch(/^backend-1 drained, and was back after/);
    expect(told).toEqual(['backend-2 SIGKILL', 'backend-1 SIGTERM']);
  });

  it('are fewer where the upstream is not on this machine, and none before anything runs', async () => {
    const elsewhere = new FaultBench(relay, () => ({ ...PARTS, realtime: [] }));
    expect(elsewhere.available).not.toContain('upstream');
    expect((await elsewhere.run('upstream', null)).ok).toBe(false);
    expect((await new FaultBench(relay, () => undefined).run('address', null)).ok).toBe(false);
  });

  it('a part that does not come back is told in its own words', async () => {
    const broken = {
      ...part('forwarder'),
      restart: () => Promise.reject(new Error('forwarder is not running just now.')),
    };
    const bench = new FaultBench(relay, () => ({ ...PARTS, forwarder: broken }));
    expect(await bench.run('forwarder', null)).toEqual({
      ok: false,
      text: 'forwarder is not running just now.',
    });
    expect((await bench.run('address', null)).ok).toBe(true);
  });
});
