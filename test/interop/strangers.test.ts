import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCluster, type TestCluster } from '../support/cluster.ts';

const HERE = dirname(fileURLToPath(import.meta.url));
const DENO = join(HERE, '../../node_modules/.bin/deno');
const run = promisify(execFile);
const MEBIBYTE = 1024 * 1024;

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await startCluster({ backends: 2 });
});
afterAll(() => cluster?.close());

describe('Deno (quinn)', () => {
  it('opens a session through the forwarder and gets 10 MiB back unchanged over a bidirectional stream', async () => {
    const url = `https://127.0.0.1:${cluster.forwarderPort}/echo`;
    const script = join(HERE, 'deno/echo.js');
    const args = ['run', '-A', '--unstable-net', script, url, cluster.certificateHash, String(10 * MEBIBYTE)];
    const { stdout } = await run(DENO, args, { timeout: 50_000, env: { ...process.env, NO_COLOR: '1' } });
    const seen = JSON.parse(stdout.trim().split('\n').at(-1)!) as {
      length: number;
      sent: string;
      received: string;
    };
    expect(seen.length).toBe(10 * MEBIBYTE);
    expect(seen.received).toBe(seen.sent);
  });
});

describe('ngtcp2 (gtlsclient)', () => {
  const fetchHealth = async (...options: string[]) => {
    const url = `https://localhost:${cluster.forwarderPort}/healthz`;
    const args = [
      '--exit-on-all-streams-close',
      '--timeout=5s',
      ...options,
      '127.0.0.1',
      String(cluster.forwarderPort),
      url,
    ];
    const { stdout, stderr } = await run('gtlsclient', args, { timeout: 20_000 });
    return stdout + stderr;
  };

  it('fetches /healthz over HTTP/3 through the forwarder', async () => {
    const output = await fetchHealth();
    expect(output).toMatch(/:status: 200/);
    // The body is printed as a hex dump with its text beside it.
    expect(output.replaceAll(/\s/g, '')).toMatch(/"status"|serverId|22737461747573/);
  });
});
