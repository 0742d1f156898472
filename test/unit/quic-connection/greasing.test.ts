import { describe, expect, it } from 'vitest';
import {
  decodeTransportParameters,
  encodeTransportParameters,
} from '../../../proto/quic/transport-parameters.ts';
import { Reader } from '../../../proto/wire/index.ts';
import { seededRandom } from '../../support/quic-fixtures.ts';
import type { PairOptions } from '../../support/quic-pair.ts';
import { CLIENT_ADDRESS, QuicPair, SERVER_ADDRESS } from '../../support/quic-pair.ts';

/** First octets of what each side sent while 200 kB went either way. */
function firstOctets(options: PairOptions): { toServer: number[]; toClient: number[] } {
  const seen = { toServer: [] as number[], toClient: [] as number[] };
  const pair = new QuicPair({
    ...options,
    tap: (direction, data) => {
      seen[direction].push(data[0]!);
      return data;
    },
  });
  const { client, server } = pair.establish();
  for (const side of [client, server]) {
    side.writeStream(side.openStream('unidirectional')!, new Uint8Array(200_000), true);
  }
  const done = () => pair.has(client, 'streamFinished') && pair.has(server, 'streamFinished');
  expect(pair.run(done)).toBe(true);
  return seen;
}

const cleared = (octets: readonly number[]) =>
  octets.filter((octet) => (octet & 0x40) === 0).length / octets.length;

describe('the QUIC bit is greased (RFC 9287)', () => {
  it('at random in both directions when both sides offer it, not before they did, and nothing is lost by it (§3.1)', () => {
    const seen = firstOctets({});
    for (const octets of [seen.toServer, seen.toClient]) {
      expect(cleared(octets)).toBeGreaterThan(0.3);
      expect(cleared(octets)).toBeLessThan(0.7);
    }
    // Not before the peer's transport parameters are there.
    expect(seen.toServer[0]! & 0x40).toBe(0x40);
  });

  it('never towards a peer that does not offer it', () => {
    const toServer = firstOctets({ serverTransport: { greaseQuicBit: false } });
    const toClient = firstOctets({ clientTransport: { greaseQuicBit: false } });
    for (const seen of [toServer, toClient]) expect(cleared([...seen.toServer, ...seen.toClient])).toBe(0);
  });

  it('and an endpoint that does not offer it drops packets without it (RFC 9000 §17.2, §17.3.1)', () => {
    for (const greaseQuicBit of [true, false]) {
      const pair = new QuicPair({
        serverTransport: { greaseQuicBit },
        clientTransport: { greaseQuicBit: false },
      });
      pair.establish();
      const path = { local: CLIENT_ADDRESS, remote: SERVER_ADDRESS };
      const data = new Uint8Array(60).fill(0x33);
      pair.inject('toServer', { data, path });
      pair.run(undefined, 100);
      expect(pair.server.stats().dropped['malformed-header'] ?? 0).toBe(greaseQuicBit ? 0 : 1);
      // Who may get such packets answers them with a Stateless Reset, as it does those with the bit.
      expect(pair.server.stats().statelessResetsSent > 0).toBe(greaseQuicBit);
    }
  });

  it('but a first Initial has it: its sender cannot know us yet', () => {
    const pair = new QuicPair({
      tap: (direction, data) => {
        if (direction === 'toServer') data[0]! &= ~0x40;
        return data;
      },
    });
    pair.connect();
    pair.run(undefined, 500);
    expect(pair.accepted).toEqual([]);
    expect(pair.server.stats().dropped['malformed-header']).toBeGreaterThan(0);
  });
});

describe('transport parameters are greased (RFC 9000 §18.1)', () => {
  it('with one reserved parameter of random identifier and value, which changes nothing', () => {
    const random = seededRandom(3);
    const parameters = { initialMaxData: 77, initialSourceConnectionId: Uint8Array.of(1) };
    const identifiers = new Set<number>();
    for (let i = 0; i < 50; i++) {
      const encoded = encodeTransportParameters(parameters, random);
      expect(decodeTransportParameters(encoded, 'client')).toEqual(
        decodeTransportParameters(encodeTransportParameters(parameters), 'client'),
      );
      const reserved: number[] = [];
      for (const reader = new Reader(encoded); !reader.done; ) {
        const id = reader.varint();
        reader.skip(reader.varint());
        if (id % 31 === 27) reserved.push(id);
      }
      expect(reserved).toHaveLength(1);
      identifiers.add(reserved[0]!);
    }
    expect(identifiers.size).toBeGreaterThan(45);
  });
});
