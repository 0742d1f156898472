import { describe, expect, it } from 'vitest';
import { type ClusterConfig, parseClusterFile } from '../../../proto/quic-lb/index.ts';
import { ConnectionIdMove, LiveConnectionIds } from '../../../server/connection-ids.ts';
import { seededRandom } from '../../support/quic-fixtures.ts';
import { QuicPair } from '../../support/quic-pair.ts';

const entry = (configRotation: number, nonceLength = 8) => ({
  configRotation,
  serverIdLength: 2,
  nonceLength,
  key: `${configRotation}`.repeat(32),
});
function cluster(...quicLb: object[]): ClusterConfig {
  const parsed = parseClusterFile(
    JSON.stringify({
      quicLb,
      routingKey: '11'.repeat(32),
      statelessResetKey: '22'.repeat(32),
      backends: [{ name: 'b', serverId: '0001', tunnel: '127.0.0.1:5001' }],
    }),
  );
  if (!parsed.ok) throw new Error(parsed.faults.join());
  return parsed.value;
}
const SERVER_ID = Uint8Array.of(0, 1);

/** A server that issues CIDs by a cluster, and the config rotations of the short headers that came to it. */
function scene() {
  const ids = new LiveConnectionIds(cluster(entry(0)), SERVER_ID, seededRandom(7));
  const seen: number[] = [];
  const pair = new QuicPair({
    serverOptions: { connectionIdGenerator: ids },
    tap: (direction, data) => {
      if (direction === 'toServer' && (data[0]! & 0x80) === 0) seen.push(data[1]! >> 5);
      return data;
    },
  });
  const move = new ConnectionIdMove(() => {});
  const rotate = () => {
    expect(ids.use(cluster(entry(1), entry(0)), SERVER_ID)).toBe(true);
    move.start(pair.server.connections());
  };
  return { ids, seen, pair, rotate };
}

describe('a rotation of the QUIC-LB configuration while connections run', () => {
  it('moves each to CIDs of the new one within two round trips, and nothing is dropped', () => {
    const { pair, seen, rotate } = scene();
    const clients = Array.from({ length: 5 }, () => pair.establish().client);
    pair.run(() => false, 500);
    expect(new Set(seen.splice(0))).toEqual(new Set([0]));
    rotate();
    pair.run(() => false, 100);
    seen.length = 0;
    for (const client of clients) client.ping();
    pair.run(() => false, 500);
    expect(seen.length).toBeGreaterThanOrEqual(clients.length);
    expect(new Set(seen)).toEqual(new Set([1]));
    expect(pair.server.stats().dropped).toEqual({});
    expect(clients.some(({ closed }) => closed)).toBe(false);
  });

  it('takes those along that are in their handshake', () => {
    const { pair, seen, rotate } = scene();
    const client = pair.connect();
    pair.run(() => pair.accepted.length > 0, 1000);
    expect(pair.eventsOf(client, 'handshakeConfirmed')).toHaveLength(0);
    rotate();
    pair.run(() => pair.eventsOf(client, 'handshakeConfirmed').length > 0, 1000);
    pair.run(() => false, 500);
    seen.length = 0;
    client.ping();
    pair.run(() => false, 500);
    expect(new Set(seen)).toEqual(new Set([1]));
  });

  it('asked for again before the last one is done, follows it', () => {
    const { pair, ids, seen, rotate } = scene();
    const { client, server } = pair.establish();
    pair.run(() => false, 500);
    rotate();
    ids.use(cluster(entry(2), entry(1)), SERVER_ID);
    server.rotateConnectionIds();
    pair.run(() => false, 500);
    seen.length = 0;
    client.ping();
    pair.run(() => false, 500);
    expect(new Set(seen)).toEqual(new Set([2]));
  });

  it('is no change when the file only announces one, and is refused when CIDs would have another length', () => {
    const { ids } = scene();
    expect(ids.use(cluster(entry(0), entry(1)), SERVER_ID)).toBe(false);
    expect(ids.generate()[0]! >> 5).toBe(0);
    expect(() => ids.use(cluster(entry(1, 9)), SERVER_ID)).toThrow(
      'Config rotation 1 makes CIDs of 12 octets, and this process reads those of 11; keep the length, or restart the backend.',
    );
  });

  it('back to a configuration goes on with its nonces: none comes twice', () => {
    const { ids } = scene();
    const all = new Set<string>();
    for (let round = 0; round < 4; round++) {
      ids.use(round % 2 === 0 ? cluster(entry(0), entry(1)) : cluster(entry(1), entry(0)), SERVER_ID);
      for (let i = 0; i < 10; i++) all.add(String(ids.generate()));
    }
    expect(all.size).toBe(40);
  });
});
