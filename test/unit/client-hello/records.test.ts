import { describe, expect, test } from 'vitest';
import { ClientHelloRecords, MAX_RECORD_OCTETS, type PeekedName } from '../../../proto/client-hello/index.ts';
import { clientHello, inRecords, paddedClientHello } from '../../support/client-hello.ts';

const NAME = 'aaa1.voice.example';
const NONE: PeekedName = { complete: true, serverName: undefined };
const hello = await clientHello(NAME);

/** What is known after each piece. */
function after(pieces: Iterable<Uint8Array>): PeekedName[] {
  const records = new ClientHelloRecords();
  return Array.from(pieces, (piece) => records.take(piece));
}

function* piecesOf(octets: Uint8Array, length: number): Generator<Uint8Array> {
  for (let at = 0; at < octets.length; at += length) yield octets.subarray(at, at + length);
}

describe('the server_name of a TLS client over TCP', () => {
  test('is found in one piece, without the end of the ClientHello where that comes later', () => {
    expect(after([hello])).toEqual([{ complete: true, serverName: NAME }]);
    const outcomes = after([hello.subarray(0, hello.length - 1), hello.subarray(-1)]);
    expect(outcomes[1]).toEqual({ complete: true, serverName: NAME });
  });

  test.each([1, 2, 3, 7, 100])('is found in pieces of %i octets, and nothing is said before', (length) => {
    const outcomes = after(piecesOf(hello, length));
    const first = outcomes.findIndex(({ complete }) => complete);
    expect(outcomes.slice(0, first).every(({ complete }) => !complete)).toBe(true);
    expect(first * length).toBeGreaterThan(NAME.length + 80);
    expect(new Set(outcomes.slice(first).map((outcome) => outcome.complete && outcome.serverName))).toEqual(
      new Set([NAME]),
    );
  });

  // RFC 8446 §5.1: handshake messages may be fragmented across several records.
  test.each([1, 4, 60, 200])('is found in records of %i octets, whole and octet by octet', (fragment) => {
    const records = inRecords(hello, fragment);
    expect(after([records]).at(-1)).toEqual({ complete: true, serverName: NAME });
    expect(after(piecesOf(records, 1)).at(-1)).toEqual({ complete: true, serverName: NAME });
  });

  test('a ClientHello without one has none', async () => {
    expect(after([await clientHello()])).toEqual([NONE]);
  });

  test.each([
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['an alert', Buffer.from('15030300020228', 'hex')],
    ['a ServerHello', Buffer.from('16030300040200000000', 'hex')],
    ['SSL 2', Buffer.from('802e0100020015', 'hex')],
    ['an empty record', Buffer.from('1603010000', 'hex')],
    ['a record that is too long', Buffer.from('1603014001', 'hex')],
    ['another protocol of the same first octet', Buffer.from('1609010010', 'hex')],
    ['a second record that is none', Buffer.from('160301000101ff', 'hex')],
    ['zeros', Buffer.alloc(100)],
  ])('%s has none, at once', (_, octets) => {
    expect(after([octets])).toEqual([NONE]);
  });

  test('what is no ClientHello is told by its first octet', () => {
    expect(after([Buffer.from('G')])).toEqual([NONE]);
    expect(after([Buffer.from([22])])).toEqual([{ complete: false }]);
  });

  test(`${MAX_RECORD_OCTETS} octets are read and no more`, () => {
    const behind = paddedClientHello(hello, 15_000);
    expect(after(piecesOf(behind, 1000)).at(-1)).toEqual({ complete: true, serverName: NAME });
    const tooFar = paddedClientHello(hello, MAX_RECORD_OCTETS);
    for (const length of [1, 1000, tooFar.length]) {
      const records = new ClientHelloRecords();
      let taken = 0;
      for (const piece of piecesOf(tooFar, length)) {
        taken += piece.length;
        if (records.take(piece).complete) break;
      }
      expect(records.take(Buffer.alloc(0))).toEqual(NONE);
      expect(taken).toBeLessThan(MAX_RECORD_OCTETS + length);
      expect(records.data.length).toBeLessThanOrEqual(MAX_RECORD_OCTETS);
    }
  });

  test('altered octets never throw', () => {
    for (let at = 0; at < hello.length; at++)
      for (const value of [0, 1, 0x7f, 0xff]) {
        const altered = Buffer.from(hello);
        altered[at] = value;
        expect(() => after([altered, altered])).not.toThrow();
      }
  });
});
