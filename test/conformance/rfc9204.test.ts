import { describe, expect, test } from 'vitest';
import { decodeSettings } from '../../proto/http3/index.ts';
import { encodeFieldSection, QpackDecoder } from '../../proto/http3/qpack/index.ts';
import { fromHex } from '../../proto/wire/index.ts';
import { headers, makeBench } from '../unit/http3/server.ts';

const hex = (text: string) => fromHex(text.replaceAll(' ', '')) as Uint8Array;

describe('QPACK (RFC 9204)', () => {
  test('RFC 9204 §3.2.1: an entry counts its name, its value and 32 octets', () => {
    // Set Dynamic Table Capacity to 37, then Insert with Literal Name.
    const decoder = new QpackDecoder(37);
    decoder.encoderOctets(hex('3f06 42 6162 03 636465'));
    expect(decoder.tableSizeOctets).toBe(37);
    const tooSmall = new QpackDecoder(36);
    expect(() => tooSmall.encoderOctets(hex('3f05 42 6162 03 636465'))).toThrow(
      /larger than the dynamic table/,
    );
  });

  test('RFC 9204 §5: both of its settings are sent, and say that no dynamic entry is wanted', () => {
    const { peer, run } = makeBench('server');
    run();
    const sent = peer.readStream(3)?.data as Uint8Array;
    const settings = decodeSettings(sent.subarray(3));
    expect([settings.get(0x01), settings.get(0x07)]).toEqual([0, 0]);
  });

  test('RFC 9204 §7.1.3: what must stay secret is marked so that no intermediary puts it into a table', () => {
    // The N bit of §4.5.4: 01NTxxxx, behind the two octets of the prefix.
    for (const name of ['authorization', 'cookie', 'set-cookie'])
      expect((encodeFieldSection([[name, 'secret']])[2] as number) & 0xe0).toBe(0x60);
    expect((encodeFieldSection([['user-agent', 'any']])[2] as number) & 0xe0).toBe(0x40);
  });

  test('RFC 9204 §2.2.2.1, §4.5.1: a section may name no entry beyond its Required Insert Count', () => {
    const decoder = new QpackDecoder(100);
    decoder.encoderOctets(hex('3f45 41 61 01 62 41 63 01 64'));
    // Encoded count 2 is one insertion; base 1; relative index 0 is entry 0.
    expect(decoder.decode(0, hex('02 00 80'), 1000)).toMatchObject({ fields: [['a', 'b']] });
    // The same count and a post-base index: entry 1, which is there, but not counted on.
    expect(() => decoder.decode(0, hex('02 00 10'), 1000)).toThrow(/dynamic entry 1/);
  });
});

describe('bodies that are named and not sent', () => {
  const answer = (method: string, status: string) => {
    const bench = makeBench('client');
    bench.run();
    const id = bench.http3.reserveRequest(method);
    bench.http3.sendHeaders(id, [[':method', method]], true);
    bench.run();
    bench.peer.writeStream(id, hex(headers([':status', status], ['content-length', '5'])), true);
    bench.run();
    return bench.events.map((event) => event.type).filter((type) => type !== 'settings');
  };

  test('RFC 9110 §8.6: the content-length of an answer to HEAD, and of a 304, is that of what is not sent', () => {
    expect(answer('HEAD', '200')).toEqual(['response', 'end']);
    expect(answer('GET', '304')).toEqual(['response', 'end']);
  });

  test('RFC 9114 §4.1.2: an answer to GET that lacks its body is malformed', () => {
    expect(answer('GET', '200')).toEqual(['response', 'aborted']);
  });
});
