import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { cell } from './support/matrix.ts';

const run = promisify(execFile);
let cluster: TestCluster;
let directory: string;
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'parley-resumption-'));
  cluster = await startCluster({ backends: 2 });
});
afterAll(async () => {
  await cluster?.close();
  rmSync(directory, { recursive: true, force: true });
});

/** Fetches /healthz with sessions kept in a file; what the client printed. */
async function fetchHealth(): Promise<string> {
  const port = String(cluster.forwarderPort);
  const args = [
    '--exit-on-all-streams-close',
    '--timeout=5s',
    `--session-file=${join(directory, 'session')}`,
    `--tp-file=${join(directory, 'parameters')}`,
    '127.0.0.1',
    port,
    `https://localhost:${port}/healthz`,
  ];
  const { stdout, stderr } = await run('gtlsclient', args, { timeout: 20_000, maxBuffer: 16 * 1024 * 1024 });
  return stdout + stderr;
}

/** The TLS messages that came in CRYPTO frames show whether a certificate was sent: it is most of the handshake. */
const cryptoOctets = (output: string): number =>
  [...output.matchAll(/frm rx .*CRYPTO.* len=(\d+)/g)].reduce((sum, match) => sum + Number(match[1]), 0);

describe('ngtcp2 (gtlsclient) resumes a session', () => {
  it('that any backend gave it, at whichever backend it reaches next, without a certificate', async () => {
    const first = await fetchHealth();
    expect(first).toMatch(/:status: 200/);
    expect(existsSync(join(directory, 'session'))).toBe(true);
    for (let i = 0; i < 4; i++) {
      const again = await fetchHealth();
      expect(again).toMatch(/:status: 200/);
      expect(cryptoOctets(again)).toBeLessThan(cryptoOctets(first) - 300);
    }
  });

  const shows = 'the request that it sent early is answered all the same, after the handshake';
  cell('ngtcp2', '0-RTT is refused, and the request answered', shows, async () => {
    await fetchHealth(); // for a ticket and the parameters
    const again = await fetchHealth();
    expect(again).toMatch(/frm tx \d+ 0RTT STREAM\(0x0b\) id=0x0 fin=1/);
    expect(again).toMatch(/frm tx \d+ 1RTT STREAM\(0x0.\) id=0x0 fin=1/);
    expect(again).toMatch(/:status: 200/);
  });
});
