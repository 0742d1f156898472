import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type BackendState, BatchRouter, type Decision, RoutingTable, route } from '../../../lb/route.ts';
import { encodeVersionNegotiation } from '../../../proto/invariants/index.ts';
import { concat, parseIp } from '../../../proto/wire/index.ts';
import { issue, longPacket, shortPacket, threeAlgorithms } from '../../routing/cluster.ts';

const cluster = threeAlgorithms(['127.0.0.1:5001', '127.0.0.1:5002', '127.0.0.1:5003']);
const CLIENT = { host: '192.0.2.7', port: 50_123 };
const CHROMIUM_DCID = Uint8Array.of(0x3d, 1, 2, 3, 4, 5, 6, 7);

function tableWith(states: Partial<Record<number, BackendState>> = {}): RoutingTable {
  const table = new RoutingTable(cluster);
  for (const [index, state] of Object.entries(states)) table.setState(Number(index), state as BackendState);
  return table;
}

/** Where the hash sends the test's client when all three backends take new connections. */
const HASHED = tableWith().rendezvous.pick(CLIENT, new Uint8Array(3).fill(1));
const OTHERS = [0, 1, 2].filter((index) => index !== HASHED);

function words(decision: Decision): string {
  switch (decision.action) {
    case 'cid':
      return `backend-${decision.backend + 1}, by its CID`;
    case 'hash':
      return `${decision.backend === HASHED ? 'the hashed backend' : 'another than the hashed'}, unroutable: ${decision.reason}`;
    case 'dead':
      return `a living one for backend-${decision.owner + 1}`;
    case 'drop':
      return `dropped: ${decision.reason}`;
  }
}

const own = (backend: number, rotation: number) => issue(cluster, backend - 1, rotation);
const unknownServer = concat([Uint8Array.of(10, 0x00, 0x09), new Uint8Array(8)]);

type Row = [packet: string, made: Uint8Array, expected: string];
const rows: Row[] = [
  ['1-RTT, CID in plaintext (rotation 0)', shortPacket(own(1, 0)), 'backend-1, by its CID'],
  ['1-RTT, CID in a single AES pass (rotation 1)', shortPacket(own(2, 1)), 'backend-2, by its CID'],
  ['1-RTT, CID in four AES passes (rotation 2)', shortPacket(own(3, 2)), 'backend-3, by its CID'],
  [
    '1-RTT, fixed bit greased away (RFC 9287)',
    concat([Uint8Array.of(0x00), own(3, 1), new Uint8Array(30)]),
    'backend-3, by its CID',
  ],
  ['Handshake to a CID that a backend issued', longPacket(own(2, 1), 1, 0xe0), 'backend-2, by its CID'],
  [
    'Initial to a CID that a backend issued (after the server was heard)',
    longPacket(own(3, 0)),
    'backend-3, by its CID',
  ],
  [
    'QUIC v2, whose long header types differ',
    longPacket(own(1, 1), 0x6b3343cf, 0xd0),
    'backend-1, by its CID',
  ],
  ['an unknown version, CID of a backend', longPacket(own(1, 1), 0xff00001d), 'backend-1, by its CID'],
  [
    'first Initial, DCID of 8 octets chosen by the client',
    longPacket(CHROMIUM_DCID),
    'the hashed backend, unroutable: tooShort',
  ],
  [
    '0-RTT with the same DCID',
    longPacket(CHROMIUM_DCID, 1, 0xd0),
    'the hashed backend, unroutable: tooShort',
  ],
  [
    'first Initial, DCID of 20 octets of which the first denies its length',
    longPacket(new Uint8Array(20).fill(0x15)),
    'the hashed backend, unroutable: length',
  ],
  [
    'first Initial, DCID of an unused rotation',
    longPacket(new Uint8Array(18).fill(0x71)),
    'the hashed backend, unroutable: rotation',
  ],
  ['first Initial, empty DCID', longPacket(new Uint8Array()), 'the hashed backend, unroutable: tooShort'],
  [
    'first Initial, DCID of 255 octets in an unknown version',
    longPacket(new Uint8Array(255).fill(0xff), 0xabadcafe),
    'the hashed backend, unroutable: rotation',
  ],
  [
    '1-RTT, CID of the reserved rotation 0b111',
    shortPacket(new Uint8Array(17).fill(0xf0)),
    'the hashed backend, unroutable: rotation',
  ],
  [
    '1-RTT, a server ID of no backend',
    shortPacket(unknownServer),
    'the hashed backend, unroutable: serverId',
  ],
  [
    'Handshake, a server ID of no backend',
    longPacket(unknownServer, 1, 0xe0),
    'the hashed backend, unroutable: serverId',
  ],
  [
    'a reserved version, as greasing clients send',
    longPacket(CHROMIUM_DCID, 0x1a2a3a4a),
    'the hashed backend, unroutable: tooShort',
  ],
  ['no octets', new Uint8Array(), 'dropped: empty'],
  ['a long header of 6 octets', longPacket(CHROMIUM_DCID).subarray(0, 6), 'dropped: truncated'],
  [
    'a long header that ends within its DCID',
    longPacket(CHROMIUM_DCID).subarray(0, 12),
    'dropped: truncated',
  ],
  [
    'a long header that ends within its SCID',
    longPacket(CHROMIUM_DCID).subarray(0, 17),
    'dropped: truncated',
  ],
  [
    'a short header of 20 octets, which no connection can mean',
    shortPacket(own(1, 0)).subarray(0, 20),
    'dropped: tooShort',
  ],
  [
    'Version Negotiation, which only servers send',
    encodeVersionNegotiation({
      destinationConnectionId: own(1, 1),
      sourceConnectionId: CHROMIUM_DCID,
      versions: [1],
    }),
    'dropped: versionNegotiation',
  ],
];

describe('where a packet goes while all backends take new connections', () => {
  test.each(rows)('%s', (_name, packet, expected) => {
    expect(words(route(packet, CLIENT, tableWith()))).toBe(expected);
  });
});

test('a packet from port 0, to which nothing can be sent, is dropped whatever it is', () => {
  const withoutPort = { host: '192.0.2.7', port: 0 };
  for (const packet of [shortPacket(own(1, 1)), longPacket(CHROMIUM_DCID)]) {
    expect(words(route(packet, withoutPort, tableWith()))).toBe('dropped: noPort');
  }
});

const [first, second] = [OTHERS[0] as number, OTHERS[1] as number];
type HealthRow = [
  what: string,
  packet: Uint8Array,
  states: Partial<Record<number, BackendState>>,
  expected: string,
];
const healthRows: HealthRow[] = [
  ['1-RTT to a silent backend', shortPacket(own(1, 1)), { 0: 'silent' }, 'backend-1, by its CID'],
  ['Handshake to a silent backend', longPacket(own(1, 1), 1, 0xe0), { 0: 'silent' }, 'backend-1, by its CID'],
  [
    'first Initial, another backend silent',
    longPacket(CHROMIUM_DCID),
    { [first]: 'silent' },
    'the hashed backend, unroutable: tooShort',
  ],
  [
    'first Initial, its hashed backend silent',
    longPacket(CHROMIUM_DCID),
    { [HASHED]: 'silent' },
    'another than the hashed, unroutable: tooShort',
  ],
  [
    'first Initial, its hashed backend dead',
    longPacket(CHROMIUM_DCID),
    { [HASHED]: 'dead' },
    'another than the hashed, unroutable: tooShort',
  ],
  [
    'first Initial, no backend takes new connections',
    longPacket(CHROMIUM_DCID),
    { 0: 'silent', 1: 'silent', 2: 'dead' },
    'dropped: noBackend',
  ],
  ['1-RTT to a dead backend', shortPacket(own(1, 1)), { 0: 'dead' }, 'a living one for backend-1'],
  [
    '1-RTT to a dead backend, the others silent',
    shortPacket(own(1, 1)),
    { 0: 'dead', 1: 'silent', 2: 'silent' },
    'a living one for backend-1',
  ],
  [
    '1-RTT to a dead backend, all dead',
    shortPacket(own(1, 1)),
    { 0: 'dead', 1: 'dead', 2: 'dead' },
    'backend-1, by its CID',
  ],
  [
    '1-RTT to a living backend, the others dead',
    shortPacket(own(1, 1)),
    { 1: 'dead', 2: 'dead' },
    'backend-1, by its CID',
  ],
];

describe('where a packet goes when backends are not well', () => {
  test.each(healthRows)('%s', (_name, packet, states, expected) => {
    expect(words(route(packet, CLIENT, tableWith(states)))).toBe(expected);
  });

  test('the stand-in for a dead backend is one that takes new connections, if any does', () => {
    const packet = shortPacket(issue(cluster, HASHED, 1));
    const states = { [HASHED]: 'dead', [first]: 'silent' } as const;
    expect(route(packet, CLIENT, tableWith(states))).toEqual({
      action: 'dead',
      backend: second,
      owner: HASHED,
    });
  });
});

describe('routing keeps nothing', () => {
  test('the address of the client does not matter to a routable packet', () => {
    const packet = shortPacket(own(2, 1));
    for (const host of ['192.0.2.7', '198.51.100.1', '2001:db8::1']) {
      expect(words(route(packet, { host, port: 1 }, tableWith()))).toBe('backend-2, by its CID');
    }
  });

  test('all packets of a first flight meet the same backend, whatever their DCID', () => {
    const table = tableWith();
    const expected = `the hashed backend, unroutable: tooShort`;
    for (let i = 0; i < 50; i++) {
      const dcid = Uint8Array.from({ length: 8 }, (_, j) => (i * 31 + j * 7) & 0x1f);
      expect(words(route(longPacket(dcid), CLIENT, table))).toBe(expected);
    }
  });

  test('a batch is routed as each of its packets would be by itself', () => {
    const table = tableWith({ 1: 'silent', 2: 'dead' });
    const router = new BatchRouter();
    const packets = [...rows, ...healthRows].map(([, packet]) => packet);
    const memory = concat(packets.map((packet) => concat([new Uint8Array(38), packet])));
    const host = parseIp(CLIENT.host)!;
    let at = 0;
    packets.forEach((packet, place) => {
      at += 38;
      router.add(place, memory, at, at + packet.length, table);
      at += packet.length;
    });
    table.decoder.finish();
    const decisions = packets.map((_, place) => router.decision(place, host, 0, CLIENT.port, table));
    expect(decisions.map(words)).toEqual(packets.map((packet) => words(route(packet, CLIENT, table))));
    expect(new Set(decisions.map(({ action }) => action)).size).toBe(4);
  });

  test('anything at all is routed or dropped and never throws', () => {
    const table = tableWith({ 1: 'silent', 2: 'dead' });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 1500 }), fc.string(), fc.nat(65_535), (packet, host, port) => {
        const decision = route(packet, { host, port }, table);
        if (decision.action === 'drop') return;
        expect(decision.backend >= 0 && decision.backend < 3).toBe(true);
      }),
      { numRuns: 1000, seed: 6 },
    );
  });

  test('every cut and every flipped bit of a real packet is routed or dropped', () => {
    const table = tableWith();
    const packet = longPacket(own(1, 1));
    const actions = new Set<string>();
    for (let length = 0; length <= packet.length; length++) {
      actions.add(route(packet.subarray(0, length), CLIENT, table).action);
    }
    for (let bit = 0; bit < 40 * 8; bit++) {
      const flipped = packet.slice();
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      actions.add(route(flipped, CLIENT, table).action);
    }
    expect([...actions].sort()).toEqual(['cid', 'drop', 'hash']);
  });
});
