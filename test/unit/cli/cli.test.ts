import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../../..');
const TOKEN = 'operators-token-of-this-test';

let directory: string;
let cluster: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'parley-cli-'));
  cluster = join(directory, 'cluster.json');
});
afterEach(() => rmSync(directory, { recursive: true }));

interface Outcome {
  readonly code: number;
  readonly said: string;
}

const parley = (args: readonly string[], env?: NodeJS.ProcessEnv) => run('cli/main.ts', args, env);

function run(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ['--import', 'tsx', program, ...args],
      { cwd: ROOT, env: { ...process.env, ...env } },
      (error, stdout, stderr) => resolve({ code: error === null ? 0 : 1, said: stdout + stderr }),
    );
  });
}

const entries = () => (JSON.parse(readFileSync(cluster, 'utf8')) as { quicLb: unknown[] }).quicLb.length;

/** Forwarders and connections need a while to follow the last step. */
async function refusesHastyStep(): Promise<void> {
  const before = readFileSync(cluster, 'utf8');
  const { code, said } = await parley(['keys', 'rotate', cluster]);
  expect(code).toBe(1);
  expect(said).toMatch(/was changed \d+ s ago and is "(announced|moving)".* --now does it at once\.\n$/);
  expect(readFileSync(cluster, 'utf8')).toBe(before);
}

describe('the program parley', () => {
  it('takes a cluster file through a rotation, and check says in which phase it is', async () => {
    expect(await parley(['keys', '--out', cluster])).toEqual({ code: 0, said: '' });
    const phases = [];
    for (let step = 0; step < 3; step++) {
      phases.push((await parley(['check', cluster])).said);
      if (step > 0) await refusesHastyStep();
      const { code, said } = await parley(['keys', 'rotate', cluster, '--now']);
      expect(code, said).toBe(0);
    }
    phases.push((await parley(['check', cluster])).said);
    const good = `${cluster} is good: a cluster of 1 backend and 1 forwarder\n  `;
    expect(phases).toEqual([
      `${good}settled: config rotation 0 is the only one.\n`,
      `${good}announced: config rotation 0 is issued, and 1 is known.\n`,
      `${good}moving: config rotation 1 is issued, and 0 is still decoded.\n`,
      `${good}settled: config rotation 1 is the only one.\n`,
    ]);
    expect(entries()).toBe(1);
    expect(await parley(['keys', 'check', cluster])).toEqual({
      code: 0,
      said: 'settled: config rotation 1 is the only one.\n',
    });
  }, 60_000);

  it('calls no forwarder good whose cluster file is not there', async () => {
    const settings = join(directory, 'forwarder.json');
    writeFileSync(
      settings,
      JSON.stringify({ cluster: join(directory, 'missing.json'), listen: '127.0.0.1:4733' }),
    );
    const { code, said } = await parley(['check', settings]);
    expect(code).toBe(1);
    expect(said).toMatch(new RegExp(`^${settings}: .*missing\\.json`, 'm'));
    expect(said).not.toContain('is good');
  }, 60_000);

  it('makes and rotates keys by the npm script as by the command', async () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      scripts: { keys: string };
    };
    const [program = ''] = /\S+\.ts$/.exec(scripts.keys) ?? [];
    const made = await run(program, ['--backend', '192.0.2.11:5001', '--out', cluster]);
    expect(made).toEqual({ code: 0, said: '' });
    expect(readFileSync(cluster, 'utf8')).toContain('"192.0.2.11:5001"');
    const rotated = await run(program, ['rotate', cluster]);
    expect(rotated.code, rotated.said).toBe(0);
    expect(entries()).toBe(2);
    expect((await run(program, ['--help'])).said).toMatch(/^usage: npm run keys -- /);
  }, 60_000);

  it('lists the calls of backends to operators, and says what is missing', async () => {
    const server = createServer(({ headers, url }, response) => {
      if (headers.authorization !== `Bearer ${TOKEN}` || url !== '/calls')
        response.writeHead(401).end('This wants the token of operators.\n');
      else
        response.end(
          JSON.stringify({ calls: [{ session: '0123-abc', backend: 'backend-1', carrier: 'tcp' }] }),
        );
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const backend = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      const asked = ['calls', '--backend', backend];
      const [listed, wrong, unset, nowhere] = await Promise.all([
        parley(asked, { PARLEY_OPERATOR_TOKEN: TOKEN }),
        parley(asked, { PARLEY_OPERATOR_TOKEN: 'another' }),
        parley(asked, { PARLEY_OPERATOR_TOKEN: '' }),
        parley(['calls'], { PARLEY_OPERATOR_TOKEN: TOKEN }),
      ]);
      expect(listed.said).toMatch(/^session +backend +remote.*\n0123-abc +backend-1 +- +tcp/);
      expect(wrong).toMatchObject({
        code: 1,
        said: expect.stringContaining('This wants the token of operators.'),
      });
      expect(unset).toMatchObject({
        code: 1,
        said: expect.stringContaining('PARLEY_OPERATOR_TOKEN is not set'),
      });
      expect(nowhere).toMatchObject({ code: 1, said: expect.stringContaining('--backend is missing.') });
    } finally {
      server.close();
    }
  }, 60_000);

  it('names its commands, and says in a sentence which file or step is wrong', async () => {
    const [usage, missing, command] = await Promise.all([
      parley(['--help']),
      parley(['keys', 'rotate', join(directory, 'none.json')]),
      parley(['call']),
    ]);
    expect(usage.said).toMatch(/ {2}calls .*\n/);
    expect(missing).toMatchObject({ code: 1, said: expect.stringContaining('none.json') });
    expect(command).toMatchObject({ code: 1, said: expect.stringContaining('There is no command "call".') });
    for (const { said } of [missing, command]) expect(said).not.toMatch(/\n\s+at /);
  }, 60_000);
});
