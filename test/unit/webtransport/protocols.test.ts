import { describe, expect, test } from 'vitest';
import type { Field } from '../../../proto/http3/index.ts';
import { chosenProtocol, offeredProtocols, offerField } from '../../../proto/webtransport/protocols.ts';
import { eventsOf, makePair } from './pair.ts';

const TARGET = { authority: 'a', path: '/' };
const offer = (...values: string[]) =>
  offeredProtocols(values.map((value): Field => ['wt-available-protocols', value]));

describe('WT-Available-Protocols and WT-Protocol as structured fields (draft §3.3)', () => {
  test.each([
    ['"moq", "parley"', ['moq', 'parley']],
    ['"a"\t,"b"', ['a', 'b']],
    ['"with \\"quotes\\" and \\\\"', ['with "quotes" and \\']],
    ['""', ['']],
    ['"a";q=0.5;x, "b";y="1, 2;\\"";z=:YWJj:;w=%"c%c3"', ['a', 'b']],
  ])('%s', (value, protocols) => {
    expect(offer(value)).toEqual(protocols);
  });

  test.each([
    'moq',
    '1, "a"',
    '"a", moq',
    '"a" "b"',
    '"a",',
    '"a',
    '"a\\n"',
    '"é"',
    '("a" "b")',
    ':YWJj:',
    '',
    '"a";Q=1',
  ])(
    '%s is ignored as a whole: it is no list of strings, with parameters or without (RFC 9651 §3.1.2)',
    (value) => {
      expect(offer(value)).toEqual([]);
    },
  );

  test('a list may be spread over lines (RFC 9651 §4.2), and what is written reads back (RFC 9651 §3.3.3)', () => {
    expect(offer('"a"', '"b", "c"')).toEqual(['a', 'b', 'c']);
    const protocols = ['x', 'with, comma', 'a"b\\c', ''];
    expect(offeredProtocols([offerField(protocols)])).toEqual(protocols);
    expect(() => offerField(['é'])).toThrow(/printable ASCII/);
  });

  test('a choice is one string', () => {
    expect(chosenProtocol([['wt-protocol', '"moq";v=1']])).toBe('moq');
    for (const value of ['moq', '"a", "b"', ''])
      expect(chosenProtocol([['wt-protocol', value]])).toBeUndefined();
    expect(chosenProtocol([])).toBeUndefined();
  });

  test('a long offer of quotes that never end is read in no time', () => {
    for (const value of [
      '"\\'.repeat(5000),
      '"a";'.repeat(5000),
      '"a", '.repeat(5000),
      `"a";b="${'\\'.repeat(9999)}`,
    ])
      expect(offer(value)).toEqual([]);
  });
});

describe('application protocols (draft §3.3)', () => {
  /** How a session goes whose client offers and whose server chooses these. */
  const negotiate = (protocols: readonly string[], chosen?: string, forged: readonly Field[] = []) => {
    const pair = makePair();
    const id = pair.client.connection.connectSession({ ...TARGET, protocols });
    pair.run();
    pair.server.connection.acceptSession(id, forged, chosen);
    pair.run();
    return { ...pair, id };
  };

  test('the server sees the offer in its order, and the client the choice', () => {
    const { client, server } = negotiate(['b', 'a'], 'a');
    expect(eventsOf(server, 'sessionRequested')).toMatchObject([{ protocols: ['b', 'a'] }]);
    expect(eventsOf(client, 'sessionEstablished')).toMatchObject([{ protocol: 'a' }]);
  });

  test('a session without either is as good as before', () => {
    for (const { client, server } of [negotiate([]), negotiate(['a'])]) {
      expect(eventsOf(client, 'sessionEstablished')).toMatchObject([{ protocol: undefined }]);
      expect(eventsOf(server, 'sessionClosed')).toEqual([]);
    }
  });

  test('a server may choose nothing that was not offered', () => {
    expect(() => negotiate(['a'], 'b')).toThrow(/not offered/);
    expect(() => negotiate([], 'b')).toThrow(/not offered/);
  });

  test('a client ends a session whose server chose something else, with WT_ALPN_ERROR', () => {
    for (const offered of [['a'], []]) {
      const { client, server, id } = negotiate(offered, undefined, [['wt-protocol', '"b"']]);
      expect(eventsOf(client, 'sessionEstablished')).toEqual([]);
      expect(eventsOf(client, 'sessionRejected')).toMatchObject([
        { sessionId: id, reason: expect.stringContaining('protocol') },
      ]);
      expect(server.quic.resets.get(id)).toBe(0x0817_b3dd);
    }
  });
});
