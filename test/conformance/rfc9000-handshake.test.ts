import { describe, expect, test } from 'vitest';
import { buildRetry, buildVersionNegotiation, VERSION_1 } from '../../proto/quic/packet/index.ts';
import { deriveInitialKeys } from '../../proto/quic/protection/index.ts';
import {
  encodeTransportParameters,
  type TransportParameters,
} from '../../proto/quic/transport-parameters.ts';
import { concat } from '../../proto/wire/index.ts';
import { PEER_ADDRESS } from '../support/conformance-engine.ts';
import type { Role } from '../support/conformance-levels.ts';
import { liveClient, type RawPeer, rawClient, rawServer } from '../support/conformance-peer.ts';

const TRANSPORT_PARAMETER_ERROR = 0x08;
const MISSING_EXTENSION = 0x016d;
const UNSUPPORTED_EXTENSION = 0x016e;
const raw = { server: rawClient, client: rawServer };
type Change = (right: Partial<TransportParameters>) => Partial<TransportParameters> | Uint8Array;

/** The code with which an engine of `role` closes when the peer's transport parameters are these. */
function codeFor(role: Role, parameters: Change): number | undefined {
  const { peer } = raw[role]({ parameters });
  peer.settle();
  return peer.closeCode;
}

const other = new Uint8Array(8).fill(0x55);
const without =
  (...names: (keyof TransportParameters)[]): Change =>
  (right) =>
    Object.fromEntries(
      Object.entries(right).filter(([name]) => !names.includes(name as keyof TransportParameters)),
    );
const withOctets =
  (...octets: number[]): Change =>
  (right) =>
    concat([encodeTransportParameters(right), Uint8Array.from(octets)]);

describe('transport parameters that authenticate CIDs (RFC 9000 §7.3)', () => {
  test.each(['server', 'client'] as const)(
    'RFC 9000 §7.3: initial_source_connection_id absent or wrong closes a %s',
    (role) => {
      expect(codeFor(role, without('initialSourceConnectionId'))).toBe(TRANSPORT_PARAMETER_ERROR);
      expect(codeFor(role, (right) => ({ ...right, initialSourceConnectionId: other }))).toBe(
        TRANSPORT_PARAMETER_ERROR,
      );
      expect(codeFor(role, (right) => right)).toBeUndefined();
    },
  );

  test('RFC 9000 §7.3: original_destination_connection_id absent or wrong closes a client', () => {
    expect(codeFor('client', without('originalDestinationConnectionId'))).toBe(TRANSPORT_PARAMETER_ERROR);
    expect(codeFor('client', (right) => ({ ...right, originalDestinationConnectionId: other }))).toBe(
      TRANSPORT_PARAMETER_ERROR,
    );
  });

  test('RFC 9000 §7.3: retry_source_connection_id without a Retry closes a client', () => {
    expect(codeFor('client', (right) => ({ ...right, retrySourceConnectionId: other }))).toBe(
      TRANSPORT_PARAMETER_ERROR,
    );
  });

  test.each([
    ['absent', undefined],
    ['wrong', other],
  ] as const)('RFC 9000 §7.3: retry_source_connection_id %s after a Retry closes a client', (_, value) => {
    const { peer } = afterRetry((right) => ({ ...right, retrySourceConnectionId: value }));
    expect(peer.closeCode).toBe(TRANSPORT_PARAMETER_ERROR);
  });

  test('RFC 9000 §7.3: the right one after a Retry completes the handshake', () => {
    const { peer } = afterRetry((right, retryId) => ({ ...right, retrySourceConnectionId: retryId }));
    expect(peer.closeCode).toBeUndefined();
    expect(peer.complete).toBe(true);
  });
});

const RETRY_ID = new Uint8Array(6).fill(0x77);
const TOKEN = new Uint8Array(40).fill(0x99);

/** A client engine that was sent a Retry, then a handshake. */
function afterRetry(
  parameters: (right: Partial<TransportParameters>, retryId: Uint8Array) => Partial<TransportParameters>,
) {
  const original: { id: Uint8Array } = { id: new Uint8Array(0) };
  const both = rawServer({
    parameters: (right) => parameters({ ...right, originalDestinationConnectionId: original.id }, RETRY_ID),
  });
  original.id = sendRetry(both.peer);
  both.peer.settle();
  return both;
}

/** Takes the client's first Initial and answers it with a Retry. Gives the CID that it was sent to. */
function sendRetry(peer: RawPeer, source: Uint8Array = RETRY_ID, token = TOKEN): Uint8Array {
  const first = peer.target.transmit(peer.now)!.data;
  const destination = first.slice(6, 6 + first[5]!);
  const client = first.slice(7 + first[5]!, 7 + first[5]! + first[6 + first[5]!]!);
  const retry = buildRetry(
    {
      originalDestinationConnectionId: destination,
      destinationConnectionId: client,
      sourceConnectionId: source,
      token,
    },
    0,
  );
  peer.push(retry);
  return destination;
}

describe('values of transport parameters (RFC 9000 §7.4, §18.2)', () => {
  test.each([
    ['a parameter twice (§7.4)', withOctets(0x01, 1, 5, 0x01, 1, 5)],
    ['one that is cut short (§7.4)', withOctets(0x01, 4, 5)],
    ['max_udp_payload_size of 1199 (§18.2)', withOctets(0x03, 2, 0x44, 0xaf)],
    ['ack_delay_exponent of 21 (§18.2)', withOctets(0x0a, 1, 21)],
    ['max_ack_delay of 2^14 (§18.2)', withOctets(0x0b, 4, 0x80, 0, 0x40, 0)],
    ['disable_active_migration with a value (§18.2)', withOctets(0x0c, 1, 0)],
    [
      'a CID of 21 octets (§17.2)',
      (right: Partial<TransportParameters>) => ({ ...right, initialSourceConnectionId: new Uint8Array(21) }),
    ],
  ])('RFC 9000 §7.4: %s closes with TRANSPORT_PARAMETER_ERROR', (_, change) => {
    for (const role of ['server', 'client'] as const)
      expect(codeFor(role, change)).toBe(TRANSPORT_PARAMETER_ERROR);
  });

  test('RFC 9000 §18.2: active_connection_id_limit below 2 closes with TRANSPORT_PARAMETER_ERROR', () => {
    for (const limit of [0, 1])
      expect(codeFor('server', (right) => ({ ...right, activeConnectionIdLimit: limit }))).toBe(
        TRANSPORT_PARAMETER_ERROR,
      );
  });

  test.each([
    ['original_destination_connection_id', [0x00, 1, 1]],
    ['stateless_reset_token', [0x02, 16, ...new Array<number>(16).fill(1)]],
    ['preferred_address', [0x0d, 42, ...new Array<number>(24).fill(1), 1, ...new Array<number>(17).fill(1)]],
    ['retry_source_connection_id', [0x10, 1, 1]],
  ])('RFC 9000 §18.2: %s from a client closes with TRANSPORT_PARAMETER_ERROR', (_, octets) => {
    expect(codeFor('server', withOctets(...octets))).toBe(TRANSPORT_PARAMETER_ERROR);
  });

  test('RFC 9000 §7.4.2: unknown and reserved parameters are ignored', () => {
    for (const role of ['server', 'client'] as const)
      expect(codeFor(role, withOctets(0x7f, 0xff, 2, 1, 2, 27, 0))).toBeUndefined();
  });

  test('RFC 9000 §18.2: what is sent keeps to the max_udp_payload_size of the peer', () => {
    const { peer, engine } = rawClient(
      { parameters: (right) => ({ ...right, maxUdpPayloadSize: 1250 }) },
      { datagramSize: 1400 },
    );
    peer.settle();
    const before = peer.raw.length;
    const id = engine.connection.openStream('unidirectional')!;
    engine.connection.writeStream(id, new Uint8Array(20_000));
    peer.run(500);
    const sizes = peer.raw.slice(before).map(({ data }) => data.length);
    expect(Math.max(...sizes)).toBe(1250);
  });

  test.each(['server', 'client'] as const)(
    'RFC 9001 §8.2: a peer without the extension closes a %s with missing_extension',
    (role) => {
      const { peer } = raw[role]();
      // The extension's type 0x39 becomes an unknown one.
      peer.onTlsSend = (_, data) => {
        const at = Buffer.from(data).indexOf(Buffer.from([0x00, 0x39]));
        if (at < 0) return [data];
        const changed = data.slice();
        changed[at] = 0x7a;
        return [changed];
      };
      peer.settle();
      // A server may answer only with extensions that the client knows: that is what a client finds first.
      expect(peer.closeCode).toBe(role === 'server' ? MISSING_EXTENSION : UNSUPPORTED_EXTENSION);
      expect(peer.complete).toBe(false);
    },
  );
});

describe('Retry at a client (RFC 9000 §17.2.5)', () => {
  /** The token of the next Initial that the client sends. */
  function tokenOfNext(peer: RawPeer): Uint8Array {
    peer.target.onDeadline(peer.target.deadline()!);
    const data = peer.target.transmit(peer.now + 5000)?.data;
    if (data === undefined) throw new Error('nothing was sent');
    const at = 7 + data[5]! + data[6 + data[5]!]!;
    return data.slice(at + 1, at + 1 + data[at]!);
  }

  test('RFC 9000 §17.2.5.3: its token and its Source CID are in all Initials that follow, whose numbers go on', () => {
    const { peer } = rawServer();
    sendRetry(peer);
    const next = peer.target.transmit(peer.now)!.data;
    expect(next.length).toBeGreaterThanOrEqual(1200);
    expect([...next.subarray(5, 12)]).toEqual([6, ...RETRY_ID]);
    const at = 7 + 6 + next[12]!;
    expect([...next.subarray(at, at + 41)]).toEqual([40, ...TOKEN]);
    peer.useInitialKeys(RETRY_ID);
    const opened = peer.initial!.receive.open(next, 0, at + 43, next.length, 1);
    expect(opened?.packetNumber).toBeGreaterThan(0);
  });

  test('RFC 9002 §6.3: it resets the timers: a probe of the new Initial comes after the first timeout again, not after twice that', () => {
    const { peer, engine } = rawServer();
    peer.autoHandshake = false;
    peer.autoAck = false;
    peer.run(3_500);
    expect(engine.connection.stats().ptoCount).toBe(2);
    peer.now = peer.target.deadline()!;
    peer.target.onDeadline(peer.now);
    sendRetry(peer);
    expect(engine.connection.stats()).toMatchObject({ ptoCount: 0, bytesInFlight: 0 });
    peer.target.transmit(peer.now);
    expect(peer.target.deadline()).toBeCloseTo(peer.now + 333 + 4 * 166.5, 3);
  });

  test('RFC 9000 §17.2.5.2: a second Retry is discarded', () => {
    const { peer, engine } = rawServer();
    const first = sendRetry(peer);
    const retry = buildRetry(
      {
        originalDestinationConnectionId: first,
        destinationConnectionId: engine.connection.localConnectionId,
        sourceConnectionId: new Uint8Array(5),
        token: new Uint8Array(9),
      },
      0,
    );
    peer.push(retry);
    expect(engine.drops).toEqual(['bad-retry']);
    expect(tokenOfNext(peer)).toEqual(TOKEN);
  });

  test('RFC 9000 §17.2.5.2: an empty token, and a Source CID that is the one it was sent to, are discarded', () => {
    const { peer, engine } = rawServer();
    sendRetry(peer, RETRY_ID, new Uint8Array(0));
    expect(engine.drops).toEqual(['bad-retry']);
    const again = rawServer();
    const first = again.engine.state.originalDestination;
    sendRetry(again.peer, first);
    expect(again.engine.drops).toEqual(['bad-retry']);
  });

  test('RFC 9000 §17.2.5.2: a Retry after a packet of the server is discarded', () => {
    const { peer, engine } = rawServer();
    peer.collect();
    peer.autoHandshake = false;
    peer.send('initial', { type: 'ping' });
    const retry = buildRetry(
      {
        originalDestinationConnectionId: peer.originalDestination,
        destinationConnectionId: engine.connection.localConnectionId,
        sourceConnectionId: RETRY_ID,
        token: TOKEN,
      },
      0,
    );
    peer.push(retry);
    expect(engine.drops).toContain('bad-retry');
    expect(engine.state.retrySourceId).toBeUndefined();
  });

  test('RFC 9000 §17.2.2: an Initial of a server with a token is discarded', () => {
    const { peer, engine } = rawServer();
    peer.collect();
    peer.autoHandshake = false;
    peer.push(peer.packet('initial', [{ type: 'ping' }], { token: new Uint8Array(4) }));
    expect(engine.connection.stats().packetsReceived).toBe(0);
    expect(engine.drops).toHaveLength(1);
  });

  test('RFC 9000 §17.2.5: a server discards Retry and Version Negotiation packets', () => {
    const { peer, engine } = rawClient();
    peer.settle();
    const ids = {
      destinationConnectionId: engine.connection.localConnectionId,
      sourceConnectionId: peer.sourceId,
    };
    peer.push(
      buildRetry({ ...ids, originalDestinationConnectionId: peer.originalDestination, token: TOKEN }, 0),
    );
    peer.push(
      buildVersionNegotiation(
        {
          destinationConnectionId: peer.originalDestination,
          sourceConnectionId: engine.connection.localConnectionId,
        },
        [5],
        new Uint8Array(5),
      ),
    );
    expect(engine.connection.closed).toBe(false);
    expect(engine.drops.slice(-2)).toEqual(['bad-retry', 'malformed-header']);
  });
});

describe('first packets (RFC 9000 §7.2)', () => {
  test('RFC 9000 §7.2: after its first packet a peer may not change its Source CID', () => {
    const { peer, engine } = rawClient();
    peer.autoHandshake = false;
    peer.send('initial', { type: 'ping' });
    const before = engine.connection.stats().packetsReceived;
    peer.push(peer.packet('initial', [{ type: 'ping' }], { source: other }));
    expect(engine.connection.stats().packetsReceived).toBe(before);
    expect(engine.drops).toContain('wrong-connection-id');
  });

  test('RFC 9000 §7.2: a client sends on to the Source CID of the first packet of the server, and to no other one', () => {
    const { peer, engine } = liveClient();
    expect(engine.state.remoteIds.current).toEqual(peer.sourceId);
  });

  test('RFC 9000 §6.2: Version Negotiation after any packet of the server is ignored', () => {
    const { peer, engine } = rawServer();
    peer.collect();
    peer.autoHandshake = false;
    peer.send('initial', { type: 'ping' });
    peer.push(
      buildVersionNegotiation(
        {
          destinationConnectionId: peer.originalDestination,
          sourceConnectionId: engine.connection.localConnectionId,
        },
        [0x0a0a0a0a],
        new Uint8Array(5),
      ),
    );
    expect(engine.connection.closed).toBe(false);
    expect(VERSION_1).toBe(1);
  });

  test('RFC 9000 §12.2: packets for another CID in the same datagram are dropped', () => {
    const { peer, engine } = rawClient();
    peer.autoHandshake = false;
    peer.send('initial', { type: 'ping' });
    const good = peer.packet('initial', [{ type: 'ping' }]);
    const { client } = deriveInitialKeys(other);
    const kept = peer.initial!;
    peer.initial = { ...kept, send: client };
    const stray = peer.packet('initial', [{ type: 'ping' }], { destination: other });
    peer.initial = kept;
    const before = engine.connection.stats().packetsReceived;
    peer.push(concat([good, stray]));
    expect(engine.connection.stats().packetsReceived - before).toBe(1);
    expect(engine.drops).toEqual(['wrong-connection-id']);
  });

  test('RFC 9000 §8.1: an address that a client takes up within the handshake is sent three times what came from it', () => {
    const { peer, engine } = rawClient();
    const moved = { ...PEER_ADDRESS, port: 1 };
    peer.onTlsSend = (level, data) => (level === 'initial' ? [data] : []);
    peer.autoAck = false;
    peer.settle();
    const sentTo = (port: number) => peer.raw.filter(({ path }) => path.remote.port === port);
    expect(sentTo(PEER_ADDRESS.port).length).toBeGreaterThan(0);
    // A Handshake packet shows who sends it, but not that the server's packets reach the address that it came from.
    const probe = peer.packet('handshake', [{ type: 'ping' }], { padTo: 600 });
    peer.push(probe, moved);
    const before = sentTo(PEER_ADDRESS.port).length;
    peer.run(5_000);
    const octets = sentTo(moved.port).reduce((sum, { data }) => sum + data.length, 0);
    expect(octets).toBeGreaterThan(0);
    expect(octets).toBeLessThanOrEqual(3 * probe.length);
    expect(sentTo(PEER_ADDRESS.port)).toHaveLength(before);
    expect(engine.drops).toEqual([]);
  });

  test('RFC 9000 §14.1: an Initial of a client in a datagram below 1200 octets is dropped at any time', () => {
    const { peer, engine } = rawClient();
    peer.autoHandshake = false;
    peer.send('initial', { type: 'ping' });
    peer.push(peer.packet('initial', [{ type: 'ping' }], { padTo: 1199 }));
    expect(engine.drops).toEqual(['small-initial']);
  });

  test('RFC 9000 §14.1: datagrams of a server with an Initial that asks for an ACK have 1200 octets', () => {
    const { peer } = rawClient();
    peer.settle();
    const sizes = peer.raw.filter(({ data }) => (data[0]! & 0xf0) === 0xc0).map(({ data }) => data.length);
    expect(Math.max(...sizes)).toBeGreaterThanOrEqual(1200);
    expect(peer.complete).toBe(true);
  });
});
