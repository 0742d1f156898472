import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { checkRotation, rotationCounts } from '../../../keys/check.ts';
import { rotateKeys } from '../../../keys/rotate.ts';
import { loadClusterFile } from '../../../net/cluster/index.ts';
import { toHex } from '../../../proto/wire/index.ts';

const KEY = '00112233445566778899aabbccddeeff';
let directory: string;
let path: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'parley-keys-'));
  path = join(directory, 'cluster.json');
});
afterEach(() => rmSync(directory, { recursive: true }));

const write = (key: unknown) =>
  writeFileSync(
    path,
    JSON.stringify({
      quicLb: [{ configRotation: 0, serverIdLength: 2, nonceLength: 8, key }],
      routingKey: '11'.repeat(32),
      statelessResetKey: '22'.repeat(32),
      backends: [{ name: 'b', serverId: '0001', tunnel: '127.0.0.1:5001' }],
    }),
    { mode: 0o640 },
  );
const rotations = () => loadClusterFile(path).cluster.quicLb.map(({ configRotation }) => configRotation);

describe('keys rotate', () => {
  it('writes the next file in place, its mode kept, and check says the phase', async () => {
    write(KEY);
    const said: string[] = [];
    for (let step = 0; step < 3; step++) {
      rotateKeys(path);
      said.push(...(await checkRotation(path, [], 1)));
    }
    expect(said).toEqual([
      'announced: config rotation 0 is issued, and 1 is known.',
      'moving: config rotation 1 is issued, and 0 is still decoded.',
      'settled: config rotation 1 is the only one.',
    ]);
    expect(rotations()).toEqual([1]);
    expect(toHex(loadClusterFile(path).cluster.quicLb[0]!.key!)).not.toBe(KEY);
    expect(statSync(path).mode & 0o777).toBe(0o640);
  });

  it('puts a new key beside one that stands in a file, readable by its owner only', () => {
    writeFileSync(join(directory, 'cid'), KEY);
    write({ file: 'cid' });
    rotateKeys(path);
    expect(readFileSync(path, 'utf8')).not.toContain(KEY);
    expect(readFileSync(join(directory, 'cid-rotation-1'), 'utf8')).toMatch(/^[0-9a-f]{32}\n$/);
    expect(statSync(join(directory, 'cid-rotation-1')).mode & 0o777).toBe(0o600);
    expect(rotations()).toEqual([0, 1]);
  });

  it('changes nothing where a key stands in the environment, or the file has a fault', () => {
    write({ env: 'CID_KEY' });
    const before = readFileSync(path, 'utf8');
    expect(() => rotateKeys(path, { CID_KEY: KEY })).toThrow(/stands in the environment \(CID_KEY\)/);
    expect(() => rotateKeys(path, {})).toThrow('quicLb[0].key: CID_KEY is not set.');
    expect(readFileSync(path, 'utf8')).toBe(before);
  });
});

describe('keys check', () => {
  it('adds the workers of a forwarder up', () => {
    const name = 'parley_forwarder_rotation_packets_total';
    const text = `${name}{worker="0",rotation="1"} 5\n${name}{worker="1",rotation="1"} 6\n${name}{rotation="0"} 1\n`;
    expect([...rotationCounts(text)]).toEqual([
      [1, 11],
      [0, 1],
    ]);
  });

  it('asks forwarders whether the last rotation may be taken out', async () => {
    write(KEY);
    rotateKeys(path);
    rotateKeys(path);
    let old = 7;
    let growth = 1;
    const server = createServer((_, response) => {
      old += growth;
      response.end(`parley_forwarder_rotation_packets_total{rotation="0"} ${old}\n`);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/metrics`;
    expect((await checkRotation(path, [url], 0.05)).at(-1)).toBe(
      'Connections still send with CIDs of 0: wait before it is taken out.',
    );
    growth = 0;
    expect((await checkRotation(path, [url], 0.05)).at(-1)).toBe(
      'No connection has CIDs of 0 that sends: it may be taken out.',
    );
    // The metrics of a backend count no packets of rotations, which would look like a rotation that is not used any more.
    const backend = createServer((_, response) => void response.end('parley_sessions 1\n'));
    await new Promise<void>((resolve) => backend.listen(0, '127.0.0.1', resolve));
    const other = `http://127.0.0.1:${(backend.address() as AddressInfo).port}/metrics`;
    await expect(checkRotation(path, [url, other], 0.05)).rejects.toThrow(
      `${other} is no forwarder's: it has no`,
    );
    backend.close();
    server.close();
    await expect(checkRotation(path, ['http://127.0.0.1:1/metrics'], 0.05)).rejects.toThrow(
      /does not answer/,
    );
  });
});
