import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { answers, gtlsclient, ONCE } from './support/gtlsclient.ts';

let cluster: TestCluster;
let qlogDirectory: string;
beforeAll(async () => {
  qlogDirectory = mkdtempSync(join(tmpdir(), 'parley-qlog-'));
  cluster = await startCluster({ backends: 2, preferredAddress: true, qlogDirectory });
});
afterAll(async () => {
  await cluster?.close();
  rmSync(qlogDirectory, { recursive: true, force: true });
});

interface QlogEvent {
  readonly name: string;
  readonly data: { readonly path_new?: { readonly src_port: number }; readonly validated?: boolean };
}

const eventsOf = (name: string): QlogEvent[] =>
  readFileSync(join(qlogDirectory, name), 'utf8')
    .split('\u001e')
    .slice(2)
    .map((record) => JSON.parse(record) as QlogEvent);

describe('ngtcp2 (gtlsclient) and preferred_address (RFC 9000 §9.6)', () => {
  it('shakes hands through the forwarder, then talks to the backend itself; the qlog says so', async () => {
    const output = await gtlsclient(cluster.forwarderPort, [...ONCE, '--delay-stream=300ms']);
    expect(answers(output)).toBe(1);
    const names = readdirSync(qlogDirectory);
    expect(names).toHaveLength(1);
    const moved = eventsOf(names[0]!).filter((event) => event.name === 'connectivity:path_updated');
    expect(moved.at(-1)?.data.validated).toBe(true);
    const tunnels = cluster.cluster.backends.map(({ tunnel }) => Number(tunnel.split(':')[1]));
    expect(tunnels).not.toContain(moved.at(-1)!.data.path_new!.src_port);
  });

  it('stays with the forwarder when the client does not want to move', async () => {
    const before = new Set(readdirSync(qlogDirectory));
    const args = [...ONCE, '--delay-stream=300ms', '--no-preferred-addr'];
    expect(answers(await gtlsclient(cluster.forwarderPort, args))).toBe(1);
    const name = readdirSync(qlogDirectory).find((file) => !before.has(file))!;
    const names = new Set(eventsOf(name).map((event) => event.name));
    expect(names.has('transport:packet_sent')).toBe(true);
    expect(names.has('connectivity:path_updated')).toBe(false);
  });
});
