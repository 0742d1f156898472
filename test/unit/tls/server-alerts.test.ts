import { describe, expect, test } from 'vitest';
import { extension, HandshakeType, handshakeMessage } from '../../../proto/tls/codec.ts';
import { Alert, CipherSuite, NamedGroup, TlsClient, TlsServer } from '../../../proto/tls/index.ts';
import { generateKeyShare } from '../../../proto/tls/key-exchange.ts';
import { readEncryptedExtensions, writeClientHello, writeFinished } from '../../../proto/tls/messages.ts';
import { concat, type Writer } from '../../../proto/wire/index.ts';
import { alertOf, clientOptions, expectAgreement, run, seededRandom, serverOptions } from './loop.ts';

const PROTOCOL_VIOLATION = 0x0a;
const CRYPTO_BUFFER_EXCEEDED = 0x0d;

type Extension = readonly [type: number, body: Uint8Array];

const x25519 = generateKeyShare(NamedGroup.X25519, seededRandom('share')).publicKey;
const list16 = (...codes: number[]) => concat([u16(codes.length * 2), ...codes.map(u16)]);
const u16 = (value: number) => Uint8Array.of(value >> 8, value & 0xff);
const sized16 = (...parts: Uint8Array[]) => {
  const body = concat(parts);
  return concat([u16(body.length), body]);
};
const shares = (...entries: (readonly [number, Uint8Array])[]) =>
  sized16(...entries.map(([group, key]) => concat([u16(group), sized16(key)])));
const text = (value: string) => new TextEncoder().encode(value);
const alpn = (...names: string[]) =>
  sized16(...names.map((name) => concat([Uint8Array.of(name.length), text(name)])));

/** A sound ClientHello's extensions by type, to be changed. */
const SOUND: readonly Extension[] = [
  [43, Uint8Array.of(2, 3, 4)],
  [10, list16(NamedGroup.X25519, NamedGroup.SECP256R1)],
  [13, list16(0x0403, 0x0807, 0x0804)],
  [16, alpn('h3')],
  [57, Uint8Array.of(1, 2, 3)],
  [51, shares([NamedGroup.X25519, x25519])],
];

const without = (type: number) => SOUND.filter(([candidate]) => candidate !== type);
const replacing = (type: number, body: Uint8Array): readonly Extension[] => [...without(type), [type, body]];

function hello(extensions: readonly Extension[], suites: readonly number[] = [0x1301]): Uint8Array {
  return writeClientHello(seededRandom('random')(32), suites, (w: Writer) => {
    for (const [type, body] of extensions) extension(w, type, (e) => e.bytes(body));
  });
}

function refusal(message: Uint8Array, options = serverOptions()): { alert: number; code: number } {
  return alertOf(() => new TlsServer(options).receive('initial', message));
}

describe('a ClientHello that is refused', () => {
  const cases: readonly [name: string, message: Uint8Array, alert: number][] = [
    ['without supported_versions (RFC 8446 §4.2.1)', hello(without(43)), Alert.PROTOCOL_VERSION],
    ['of TLS 1.2 only (RFC 9001 §4.2)', hello(replacing(43, Uint8Array.of(2, 3, 3))), Alert.PROTOCOL_VERSION],
    ['without transport parameters (RFC 9001 §8.2)', hello(without(57)), Alert.MISSING_EXTENSION],
    ['without ALPN (RFC 9001 §8.1)', hello(without(16)), Alert.NO_APPLICATION_PROTOCOL],
    [
      'without a common protocol (RFC 7301 §3.2)',
      hello(replacing(16, alpn('h2'))),
      Alert.NO_APPLICATION_PROTOCOL,
    ],
    ['without key_share (RFC 8446 §9.2)', hello(without(51)), Alert.MISSING_EXTENSION],
    ['without supported_groups (RFC 8446 §9.2)', hello(without(10)), Alert.MISSING_EXTENSION],
    ['without signature_algorithms (RFC 8446 §9.2)', hello(without(13)), Alert.MISSING_EXTENSION],
    ['without a common cipher suite', hello(SOUND, [0x1304]), Alert.HANDSHAKE_FAILURE],
    [
      'without a common group',
      hello(SOUND.map(([t, b]) => [t, t === 10 ? list16(24) : t === 51 ? shares() : b])),
      Alert.HANDSHAKE_FAILURE,
    ],
    ['without a signature scheme for the key', hello(replacing(13, list16(0x0403))), Alert.HANDSHAKE_FAILURE],
    [
      'with an extension twice (RFC 8446 §4.2)',
      hello([...SOUND, ...SOUND.slice(0, 1)]),
      Alert.ILLEGAL_PARAMETER,
    ],
    [
      'with two shares for a group (RFC 8446 §4.2.8)',
      hello(replacing(51, shares([29, x25519], [29, x25519]))),
      Alert.ILLEGAL_PARAMETER,
    ],
    [
      'with a share for an unoffered group (RFC 8446 §4.2.8)',
      hello(replacing(51, shares([24, x25519], [29, x25519]))),
      Alert.ILLEGAL_PARAMETER,
    ],
    [
      'with a short X25519 share',
      hello(replacing(51, shares([29, x25519.subarray(1)]))),
      Alert.ILLEGAL_PARAMETER,
    ],
    [
      'with an X25519 share of small order (RFC 8446 §7.4.2)',
      hello(replacing(51, shares([29, new Uint8Array(32)]))),
      Alert.ILLEGAL_PARAMETER,
    ],
    [
      'with a P-256 share off the curve (RFC 8446 §4.2.8.2)',
      hello(replacing(51, shares([23, concat([Uint8Array.of(4), new Uint8Array(64).fill(1)])]))),
      Alert.ILLEGAL_PARAMETER,
    ],
    [
      'with a compressed P-256 share (RFC 8446 §4.2.8.2)',
      hello(replacing(51, shares([23, concat([Uint8Array.of(2), new Uint8Array(32).fill(1)])]))),
      Alert.ILLEGAL_PARAMETER,
    ],
    [
      'with pre_shared_key not last (RFC 8446 §4.2.11)',
      hello([[41, Uint8Array.of(0)], [45, Uint8Array.of(1, 1)], ...SOUND]),
      Alert.ILLEGAL_PARAMETER,
    ],
    [
      'with pre_shared_key and no modes (RFC 8446 §4.2.9)',
      hello([...SOUND, [41, Uint8Array.of(0)]]),
      Alert.MISSING_EXTENSION,
    ],
    ['with an empty protocol name', hello(replacing(16, Uint8Array.of(0, 1, 0))), Alert.DECODE_ERROR],
    ['with octets after a list', hello(replacing(13, concat([list16(0x0807), u16(0)]))), Alert.DECODE_ERROR],
    ['with a list that runs past its extension', hello(replacing(10, u16(4))), Alert.DECODE_ERROR],
    ['with an odd list of groups', hello(replacing(10, Uint8Array.of(0, 3, 0, 29, 0))), Alert.DECODE_ERROR],
    [
      'with two server names (RFC 6066 §3)',
      hello([...SOUND, [0, sized16(Uint8Array.of(0, 0, 1, 97, 0, 0, 1, 98))]]),
      Alert.ILLEGAL_PARAMETER,
    ],
    [
      'with a server name of control characters',
      hello([...SOUND, [0, sized16(Uint8Array.of(0, 0, 2, 97, 10))]]),
      Alert.ILLEGAL_PARAMETER,
    ],
  ];
  test.each(cases)('%s', (_name, message, alert) => {
    expect(refusal(message)).toEqual({ alert, code: 0x0100 + alert });
  });

  test('with a legacy_session_id (RFC 9001 §8.4)', () => {
    const message = hello(SOUND);
    const changed = handshakeMessage(HandshakeType.CLIENT_HELLO, (w) =>
      w.bytes(message.subarray(4, 38)).bytes(Uint8Array.of(1, 7)).bytes(message.subarray(39)),
    );
    expect(refusal(changed).code).toBe(PROTOCOL_VIOLATION);
  });

  test('with another legacy_version than TLS 1.2 (RFC 9846 §4.2.2)', () => {
    for (const [high, low] of [
      [3, 1],
      [3, 4],
    ] as const) {
      const message = hello(SOUND);
      message.set([high, low], 4);
      expect(refusal(message).alert).toBe(Alert.PROTOCOL_VERSION);
    }
  });

  test('with compression (RFC 8446 §4.1.2)', () => {
    // Header 4, version 2, random 32, session ID 1, cipher suites 2 + 2, then the list of compression methods.
    const message = hello(SOUND);
    expect(message.subarray(43, 45)).toEqual(Uint8Array.of(1, 0));
    message[44] = 1;
    expect(refusal(message).alert).toBe(Alert.ILLEGAL_PARAMETER);
  });

  test('with octets after its extensions', () => {
    const message = hello(SOUND);
    const longer = handshakeMessage(HandshakeType.CLIENT_HELLO, (w) => w.bytes(message.subarray(4)).u8(0));
    expect(refusal(longer).alert).toBe(Alert.DECODE_ERROR);
  });

  test('of more than 64 KiB (RFC 9000 §7.5)', () => {
    expect(refusal(Uint8Array.of(1, 1, 0, 0)).code).toBe(CRYPTO_BUFFER_EXCEEDED);
  });

  test('with another message behind it at the same level (RFC 9001 §4.1.3)', () => {
    expect(refusal(concat([hello(SOUND), Uint8Array.of(20)])).code).toBe(PROTOCOL_VIOLATION);
  });
});

describe('a ClientHello that is accepted', () => {
  test('the sound one that the refused ones are made of', () => {
    new TlsServer(serverOptions()).receive('initial', hello(SOUND));
  });

  test('that offers early data: the answer says nothing of it, which declines it (RFC 8446 §4.2.10)', () => {
    const server = new TlsServer(serverOptions());
    server.receive('initial', hello([...SOUND, [42, new Uint8Array(0)]]));
    const flight: (Uint8Array | undefined)[] = [];
    for (let event = server.poll(); event !== undefined; event = server.poll())
      if (event.type === 'send') flight.push(event.data);
    const encrypted = flight.find((data) => data?.[0] === HandshakeType.ENCRYPTED_EXTENSIONS)!;
    const extensions = readEncryptedExtensions({ type: HandshakeType.ENCRYPTED_EXTENSIONS, raw: encrypted });
    expect([...extensions.keys()]).toEqual([16, 57]);
  });

  test('of a browser: GREASE everywhere, X25519MLKEM768, 1.8 KB, in pieces (RFC 8701)', () => {
    const grease = 0x2a2a;
    const browser: readonly Extension[] = [
      [grease, new Uint8Array(0)],
      [43, Uint8Array.of(4, 0x3a, 0x3a, 3, 4)],
      [10, list16(grease, 0x11ec, NamedGroup.X25519, NamedGroup.SECP256R1, 24)],
      [13, list16(grease, 0x0403, 0x0804, 0x0401, 0x0807)],
      [16, alpn('\x0a\x0a', 'h3')],
      [57, Uint8Array.of(1, 2, 3)],
      [45, Uint8Array.of(2, 0x0b, 1)],
      [27, Uint8Array.of(2, 0, 2)],
      [17613, new Uint8Array(40)],
      [51, shares([grease, Uint8Array.of(0)], [0x11ec, new Uint8Array(1216)], [NamedGroup.X25519, x25519])],
      [0xfe0d, new Uint8Array(250)],
      [0x4a4a, Uint8Array.of(0)],
    ];
    const message = hello(browser, [0x1a1a, 0x1301, 0x1302, 0x1303]);
    expect(message.length).toBeGreaterThan(1600);
    const server = new TlsServer(serverOptions());
    for (let at = 0; at < message.length; at += 700) {
      expect(server.poll()).toBeUndefined();
      server.receive('initial', message.subarray(at, at + 700));
    }
    expect(server.poll()).toMatchObject({ type: 'send', level: 'initial' });
    expect(server.poll()).toMatchObject({ type: 'secrets', cipherSuite: CipherSuite.TLS_AES_128_GCM_SHA256 });
  });
});

describe('messages out of place at the server', () => {
  const message = (type: number) => handshakeMessage(type, () => {});

  test('anything but a ClientHello at first (RFC 8446 §6.2)', () => {
    expect(refusal(message(HandshakeType.FINISHED)).alert).toBe(Alert.UNEXPECTED_MESSAGE);
  });

  test('KeyUpdate (RFC 9001 §6) and EndOfEarlyData (RFC 9001 §8.3)', () => {
    expect(refusal(message(HandshakeType.KEY_UPDATE)).alert).toBe(Alert.UNEXPECTED_MESSAGE);
    expect(refusal(message(HandshakeType.END_OF_EARLY_DATA)).code).toBe(PROTOCOL_VIOLATION);
  });

  test('octets at a level that is not up yet, or over (RFC 9001 §4.1.3)', () => {
    const early = new TlsServer(serverOptions());
    expect(alertOf(() => early.receive('handshake', Uint8Array.of(1))).code).toBe(PROTOCOL_VIOLATION);
    const late = new TlsServer(serverOptions());
    late.receive('initial', hello(SOUND));
    expect(alertOf(() => late.receive('initial', Uint8Array.of(1))).code).toBe(PROTOCOL_VIOLATION);
  });

  test('a Finished that is wrong or of the wrong length (RFC 8446 §4.4.4)', () => {
    const finish = (octets: number) => {
      const server = new TlsServer(serverOptions());
      server.receive('initial', hello(SOUND));
      return alertOf(() => server.receive('handshake', writeFinished(new Uint8Array(octets)))).alert;
    };
    expect(finish(32)).toBe(Alert.DECRYPT_ERROR);
    expect(finish(31)).toBe(Alert.DECODE_ERROR);
    expect(finish(33)).toBe(Alert.DECODE_ERROR);
  });

  test('anything after the Finished', () => {
    const server = new TlsServer(serverOptions());
    expectAgreement(run(new TlsClient(clientOptions()), server));
    const alert = alertOf(() => server.receive('application', message(HandshakeType.NEW_SESSION_TICKET)));
    expect(alert.alert).toBe(Alert.UNEXPECTED_MESSAGE);
  });

  test('a dead session raises the same alert again', () => {
    const server = new TlsServer(serverOptions());
    expect(alertOf(() => server.receive('initial', hello(without(57)))).alert).toBe(Alert.MISSING_EXTENSION);
    expect(alertOf(() => server.receive('initial', hello(SOUND))).alert).toBe(Alert.MISSING_EXTENSION);
  });
});

describe('the second ClientHello (RFC 8446 §4.1.2)', () => {
  const p256 = generateKeyShare(NamedGroup.SECP256R1, seededRandom('share')).publicKey;
  const options = serverOptions({ groups: [NamedGroup.SECP256R1] });
  const second = (message: Uint8Array) => {
    const server = new TlsServer(options);
    server.receive('initial', hello(SOUND));
    server.receive('initial', message);
  };

  test('with exactly the share that was asked for is accepted', () => {
    second(hello(replacing(51, shares([NamedGroup.SECP256R1, p256]))));
  });

  test('without it, or with one more, is refused', () => {
    const more = shares([NamedGroup.SECP256R1, p256], [NamedGroup.X25519, x25519]);
    expect(alertOf(() => second(hello(SOUND))).alert).toBe(Alert.ILLEGAL_PARAMETER);
    expect(alertOf(() => second(hello(replacing(51, more)))).alert).toBe(Alert.ILLEGAL_PARAMETER);
  });

  test('with other transport parameters or cipher suites is refused', () => {
    const share = replacing(51, shares([NamedGroup.SECP256R1, p256]));
    const changed = share.map(([type, body]): Extension => [type, type === 57 ? Uint8Array.of(9) : body]);
    expect(alertOf(() => second(hello(changed))).alert).toBe(Alert.ILLEGAL_PARAMETER);
    expect(alertOf(() => second(hello(share, [0x1301, 0x1303]))).alert).toBe(Alert.ILLEGAL_PARAMETER);
  });

  test('with other signature algorithms, groups, names, modes or protocols is refused, with other padding not', () => {
    const share = replacing(51, shares([NamedGroup.SECP256R1, p256]));
    const padding: Extension = [21, new Uint8Array(9)];
    second(hello([...share, padding]));
    const instead = (type: number, body: Uint8Array): Extension[] =>
      share.map(([candidate, sound]) => [candidate, candidate === type ? body : sound]);
    const changed: readonly (readonly Extension[])[] = [
      instead(13, list16(0x0807)),
      instead(10, list16(NamedGroup.SECP256R1)),
      instead(16, alpn('h3', 'h2')),
      [...share, [0, sized16(Uint8Array.of(0, 0, 1, 97))]],
      [...share, [45, Uint8Array.of(1, 1)]],
    ];
    for (const extensions of changed)
      expect(alertOf(() => second(hello(extensions))).alert).toBe(Alert.ILLEGAL_PARAMETER);
  });

  test('with early data, which a retry declines, is refused (RFC 8446 §4.2.10)', () => {
    const early: Extension = [42, new Uint8Array(0)];
    const server = new TlsServer(options);
    server.receive('initial', hello([...SOUND, early]));
    const share = replacing(51, shares([NamedGroup.SECP256R1, p256]));
    const message = hello([...share, early]);
    expect(alertOf(() => server.receive('initial', message)).alert).toBe(Alert.ILLEGAL_PARAMETER);
  });
});
