import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { type Datagram, QuicEndpoint } from '../../../proto/quic/index.ts';
import { createConnectionIdGenerator, parseClusterFile } from '../../../proto/quic-lb/index.ts';
import { concat } from '../../../proto/wire/index.ts';
import { resetGuard } from '../../../server/reset-guard.ts';

const random = (length: number) => new Uint8Array(randomBytes(length));
const parsed = parseClusterFile(
  JSON.stringify({
    quicLb: [
      { configRotation: 0, serverIdLength: 2, nonceLength: 8, key: '8f95f09245765f80256934e50c66207f' },
    ],
    routingKey: '11'.repeat(32),
    statelessResetKey: '22'.repeat(32),
    backends: [1, 2].map((n) => ({ name: `backend-${n}`, serverId: `000${n}`, tunnel: `127.0.0.1:500${n}` })),
  }),
);
if (!parsed.ok) throw new Error(parsed.faults.join());
const cluster = parsed.value;
const generatorOf = (backend: number) =>
  createConnectionIdGenerator(cluster.quicLb[0]!, cluster.backends[backend]!.serverId, random);

const CLIENT = { host: '192.0.2.1', port: 40_000 };
const FORWARDER = { host: '10.1.0.1', port: 4433 };

/** What backend-1 answers to a short header with this CID, which no connection has. */
function answerTo(connectionId: Uint8Array, via?: Datagram['via']): Datagram | undefined {
  const endpoint = new QuicEndpoint({
    random,
    connectionIdGenerator: generatorOf(0),
    statelessResetKey: cluster.statelessResetKey,
    mayReset: resetGuard(() => cluster, 'backend-1'),
  });
  const path = { local: { host: '198.51.100.1', port: 4433 }, remote: CLIENT };
  const data = concat([Uint8Array.of(0x41), connectionId, random(60)]);
  endpoint.receive(via === undefined ? { data, path } : { data, path, via }, 0);
  return endpoint.transmit(0);
}

describe('a Stateless Reset with a key that all backends share (RFC 9000 §21.11)', () => {
  test('answers a CID of the backend itself, which has forgotten its connection', () => {
    expect(answerTo(generatorOf(0).generate())?.path.remote).toEqual(CLIENT);
  });

  test('answers no CID of another backend on the public port: its call may go on there', () => {
    expect(answerTo(generatorOf(1).generate())).toBeUndefined();
  });

  test('answers no CID that this cluster cannot have made, on the public port', () => {
    const unroutable = generatorOf(0).generate();
    unroutable[0]! |= 0b111_00000;
    expect(answerTo(unroutable)).toBeUndefined();
  });

  test('answers any CID that a forwarder brings: its owner is dead', () => {
    expect(answerTo(generatorOf(1).generate(), FORWARDER)?.via).toEqual(FORWARDER);
  });
});
