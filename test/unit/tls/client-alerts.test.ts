import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { extension, HandshakeType, handshakeMessage, vector } from '../../../proto/tls/codec.ts';
import {
  Alert,
  CipherSuite,
  NamedGroup,
  type SessionTicket,
  TlsClient,
  type TlsClientOptions,
  TlsServer,
  type TlsServerOptions,
} from '../../../proto/tls/index.ts';
import {
  HELLO_RETRY_RANDOM,
  writeCertificate,
  writeCertificateVerify,
  writeEncryptedExtensions,
  writeFinished,
  writeServerHello,
} from '../../../proto/tls/messages.ts';
import { concat, Reader } from '../../../proto/wire/index.ts';
import { keys, leafChain, makeCertificate, NOW_MS } from './certificates.ts';
import {
  alertOf,
  clientOptions,
  expectAgreement,
  type Meddle,
  run,
  serverOptions,
  untouched,
} from './loop.ts';

const PROTOCOL_VIOLATION = 0x0a;
const TICKET_SECRET = new Uint8Array(32).fill(1);
const AES = CipherSuite.TLS_AES_128_GCM_SHA256;

type Extension = readonly [type: number, body: Uint8Array];
const u16 = (value: number) => Uint8Array.of(value >> 8, value & 0xff);

const VERSION: Extension = [43, u16(0x0304)];
const SHARE: Extension = [51, concat([u16(NamedGroup.X25519), u16(32), new Uint8Array(32).fill(9)])];

function serverHello(extensions: readonly Extension[], suite: number = AES, random = new Uint8Array(32)) {
  return writeServerHello(random, suite, (w) => {
    for (const [type, body] of extensions) extension(w, type, (e) => e.bytes(body));
  });
}

const retry = (extensions: readonly Extension[]) => serverHello(extensions, AES, HELLO_RETRY_RANDOM);

const downgraded = (last: number) => {
  const random = new Uint8Array(32);
  random.set([0x44, 0x4f, 0x57, 0x4e, 0x47, 0x52, 0x44, last], 24);
  return random;
};
const withoutExtensions = () =>
  handshakeMessage(HandshakeType.SERVER_HELLO, (w) => w.u16(0x0303).zeros(33).u16(AES).u8(0));

/** A session that the client has from an earlier handshake. */
function offeredSession(): SessionTicket {
  let session: SessionTicket | undefined;
  const tickets = { secret: TICKET_SECRET, nowEpochMs: () => NOW_MS };
  run(
    new TlsClient(clientOptions({ onTicket: (given) => (session = given) })),
    new TlsServer(serverOptions({ tickets })),
  );
  return session!;
}

function refusal(...messages: readonly Uint8Array[]): { alert: number; code: number } {
  const client = new TlsClient(clientOptions());
  return alertOf(() => {
    for (const message of messages) client.receive('initial', message);
  });
}

describe('a ServerHello that is refused', () => {
  const cases: readonly [name: string, messages: readonly Uint8Array[], alert: number][] = [
    ['of TLS 1.2, without supported_versions', [serverHello([SHARE])], Alert.PROTOCOL_VERSION],
    [
      'of a server that was kept from TLS 1.3 (RFC 8446 §4.1.3)',
      [serverHello([SHARE], AES, downgraded(1))],
      Alert.ILLEGAL_PARAMETER,
    ],
    [
      'of a server that was kept from TLS 1.2 too',
      [serverHello([SHARE], AES, downgraded(0))],
      Alert.ILLEGAL_PARAMETER,
    ],
    ['of TLS 1.2, without any extension', [withoutExtensions()], Alert.PROTOCOL_VERSION],
    ['of a version that was not offered', [serverHello([[43, u16(0x0303)], SHARE])], Alert.ILLEGAL_PARAMETER],
    ['of a suite that was not offered', [serverHello([VERSION, SHARE], 0x1304)], Alert.ILLEGAL_PARAMETER],
    ['without key_share', [serverHello([VERSION])], Alert.MISSING_EXTENSION],
    [
      'of a group without a share of ours',
      [serverHello([VERSION, [51, concat([u16(23), u16(1), u16(4)]).subarray(0, 5)]])],
      Alert.ILLEGAL_PARAMETER,
    ],
    [
      'with octets after its share',
      [serverHello([VERSION, [51, concat([SHARE[1], u16(0)])]])],
      Alert.DECODE_ERROR,
    ],
    [
      'with a share of small order (RFC 8446 §7.4.2)',
      [serverHello([VERSION, [51, concat([u16(29), u16(32), new Uint8Array(32)])]])],
      Alert.ILLEGAL_PARAMETER,
    ],
    [
      'with an extension that was not offered (RFC 8446 §4.2)',
      [serverHello([VERSION, SHARE, [41, u16(0)]])],
      Alert.UNSUPPORTED_EXTENSION,
    ],
    [
      'with an extension that belongs elsewhere (RFC 8446 §4.2)',
      [serverHello([VERSION, SHARE, [16, u16(0)]])],
      Alert.ILLEGAL_PARAMETER,
    ],
    ['that retries with no change (RFC 8446 §4.1.4)', [retry([VERSION])], Alert.ILLEGAL_PARAMETER],
    ['that retries for a share it has', [retry([VERSION, [51, u16(29)]])], Alert.ILLEGAL_PARAMETER],
    ['that retries for a group not offered', [retry([VERSION, [51, u16(24)]])], Alert.ILLEGAL_PARAMETER],
    ['that retries with an empty cookie', [retry([VERSION, [44, u16(0)]])], Alert.DECODE_ERROR],
    [
      'that retries twice (RFC 8446 §4.1.4)',
      [retry([VERSION, [51, u16(23)]]), retry([VERSION, [51, u16(29)]])],
      Alert.UNEXPECTED_MESSAGE,
    ],
    [
      'that changes the suite after a retry (RFC 8446 §4.1.4)',
      [retry([VERSION, [44, concat([u16(1), Uint8Array.of(5)])]]), serverHello([VERSION, SHARE], 0x1303)],
      Alert.ILLEGAL_PARAMETER,
    ],
    ['that is no ServerHello', [writeFinished(new Uint8Array(32))], Alert.UNEXPECTED_MESSAGE],
  ];
  test.each(cases)('%s', (_name, messages, alert) => {
    expect(refusal(...messages)).toEqual({ alert, code: 0x0100 + alert });
  });

  test('with a PSK and no key share (RFC 8446 §4.2.11)', () => {
    const session = offeredSession();
    const client = new TlsClient(clientOptions({ session }));
    const alone = serverHello([VERSION, [41, u16(0)]]);
    expect(alertOf(() => client.receive('initial', alone)).alert).toBe(Alert.ILLEGAL_PARAMETER);
  });

  test('that retries with a PSK, which belongs into another message (RFC 8446 §4.2)', () => {
    const client = new TlsClient(clientOptions({ session: offeredSession() }));
    const odd = retry([VERSION, [51, u16(23)], [41, u16(0)]]);
    expect(alertOf(() => client.receive('initial', odd)).alert).toBe(Alert.ILLEGAL_PARAMETER);
  });

  test('that echoes a session ID we never sent (RFC 8446 §4.1.3)', () => {
    const sound = serverHello([VERSION, SHARE]);
    const echoing = handshakeMessage(HandshakeType.SERVER_HELLO, (w) =>
      w.bytes(sound.subarray(4, 38)).u8(1).u8(7).bytes(sound.subarray(39)),
    );
    expect(refusal(echoing).alert).toBe(Alert.ILLEGAL_PARAMETER);
  });

  test('with octets behind it at the same level (RFC 9001 §4.1.3)', () => {
    const spanning = concat([serverHello([VERSION, SHARE]), Uint8Array.of(8)]);
    expect(refusal(spanning).code).toBe(PROTOCOL_VIOLATION);
  });
});

test('a cookie comes back in the second ClientHello (RFC 8446 §4.2.2)', () => {
  const client = new TlsClient(clientOptions());
  client.poll();
  const cookie = concat([u16(3), Uint8Array.of(0xc0, 0x0c, 0x1e)]);
  client.receive('initial', retry([VERSION, [44, cookie]]));
  const event = client.poll();
  const second = event?.type === 'send' ? Buffer.from(event.data) : Buffer.alloc(0);
  expect(second.includes(Buffer.from(concat([u16(44), u16(5), cookie])))).toBe(true);
});

/** Replaces the server's message of `type`. */
const replacing =
  (type: number, replacement: (data: Uint8Array) => readonly Uint8Array[]): Meddle =>
  (from, _level, data) =>
    from === 'server' && new Reader(data).u8() === type ? replacement(data) : [data];

function meddled(meddle: Meddle, options = serverOptions()) {
  return alertOf(() => run(new TlsClient(clientOptions()), new TlsServer(options), meddle));
}

const encrypted = (extensions: readonly Extension[]) =>
  writeEncryptedExtensions((w) => {
    for (const [type, body] of extensions) extension(w, type, (e) => e.bytes(body));
  });
const H3: Extension = [16, Uint8Array.of(0, 3, 2, 0x68, 0x33)];
const PARAMETERS: Extension = [57, Uint8Array.of(1)];

describe("a server's flight that is refused", () => {
  const certificateList = (fill: Uint8Array) =>
    handshakeMessage(HandshakeType.CERTIFICATE, (w) => {
      w.u8(0);
      vector(w, 3, (list) => list.bytes(fill));
    });
  const cases: readonly [name: string, type: number, replacement: Uint8Array, alert: number][] = [
    ['without transport parameters (RFC 9001 §8.2)', 8, encrypted([H3]), Alert.MISSING_EXTENSION],
    ['without ALPN (RFC 9001 §8.1)', 8, encrypted([PARAMETERS]), Alert.NO_APPLICATION_PROTOCOL],
    [
      'with a protocol that was not offered',
      8,
      encrypted([PARAMETERS, [16, Uint8Array.of(0, 3, 2, 0x68, 0x32)]]),
      Alert.ILLEGAL_PARAMETER,
    ],
    [
      'with two protocols (RFC 7301 §3.1)',
      8,
      encrypted([PARAMETERS, [16, Uint8Array.of(0, 6, 2, 0x68, 0x33, 2, 0x68, 0x32)]]),
      Alert.ILLEGAL_PARAMETER,
    ],
    [
      'that accepts early data that was not sent',
      8,
      encrypted([H3, PARAMETERS, [42, u16(0)]]),
      Alert.UNSUPPORTED_EXTENSION,
    ],
    ['with server_name, not empty', 8, encrypted([H3, PARAMETERS, [0, u16(0)]]), Alert.DECODE_ERROR],
    [
      'with a cookie in EncryptedExtensions',
      8,
      encrypted([H3, PARAMETERS, [44, u16(0)]]),
      Alert.ILLEGAL_PARAMETER,
    ],
    ['with key_share in EncryptedExtensions', 8, encrypted([H3, PARAMETERS, SHARE]), Alert.ILLEGAL_PARAMETER],
    [
      'with no certificate (RFC 8446 §4.4.2.4)',
      11,
      writeCertificate(new Uint8Array(0), []),
      Alert.DECODE_ERROR,
    ],
    ['with an empty certificate', 11, certificateList(new Uint8Array(5)), Alert.DECODE_ERROR],
    [
      'with a certificate that is none',
      11,
      certificateList(Uint8Array.of(0, 0, 1, 9, 0, 0)),
      Alert.BAD_CERTIFICATE,
    ],
    [
      'with a certificate extension that was not asked for',
      11,
      certificateList(Uint8Array.of(0, 0, 1, 9, 0, 4, 0, 5, 0, 0)),
      Alert.UNSUPPORTED_EXTENSION,
    ],
    [
      'with a request context',
      11,
      writeCertificate(Uint8Array.of(1), [Uint8Array.of(1)]),
      Alert.ILLEGAL_PARAMETER,
    ],
    [
      'with a signature scheme that does not fit the key (RFC 8446 §4.4.3)',
      15,
      writeCertificateVerify(0x0403, new Uint8Array(64)),
      Alert.ILLEGAL_PARAMETER,
    ],
    [
      'signed with PKCS #1 (RFC 8446 §4.4.3)',
      15,
      writeCertificateVerify(0x0401, new Uint8Array(64)),
      Alert.ILLEGAL_PARAMETER,
    ],
    ['with a wrong signature', 15, writeCertificateVerify(0x0807, new Uint8Array(64)), Alert.DECRYPT_ERROR],
    ['with a wrong Finished', 20, writeFinished(new Uint8Array(32)), Alert.DECRYPT_ERROR],
    ['with a short Finished', 20, writeFinished(new Uint8Array(31)), Alert.DECODE_ERROR],
    [
      'with a message in the place of another',
      15,
      writeFinished(new Uint8Array(32)),
      Alert.UNEXPECTED_MESSAGE,
    ],
    ['with a hello in the middle', 8, serverHello([VERSION, SHARE]), Alert.UNEXPECTED_MESSAGE],
  ];
  test.each(cases)('%s', (_name, type, replacement, alert) => {
    expect(meddled(replacing(type, () => [replacement])).alert).toBe(alert);
  });

  test('signed with another key than the certificate holds (RFC 8446 §4.4.3)', () => {
    const certificates = [{ chain: leafChain('ecdsa'), privateKey: keys.otherEcdsa }];
    expect(meddled(untouched, serverOptions({ certificates })).alert).toBe(Alert.DECRYPT_ERROR);
  });

  test('with a certificate whose key cannot be read, even if any is believed', () => {
    const strange = makeCertificate({ subject: 'leaf', key: keys.ecdsa, hasStrangeKey: true });
    const certificates = [{ chain: [strange], privateKey: keys.ecdsa }];
    const client = new TlsClient(clientOptions({ trust: { kind: 'any' } }));
    const refused = alertOf(() => run(client, new TlsServer(serverOptions({ certificates }))));
    expect(refused.alert).toBe(Alert.UNSUPPORTED_CERTIFICATE);
  });

  test('with a certificate that the client does not believe', () => {
    const alone = makeCertificate({ subject: 'leaf', key: keys.ecdsa, dnsNames: ['example.test'] });
    const certificates = [{ chain: [alone], privateKey: keys.ecdsa }];
    expect(meddled(untouched, serverOptions({ certificates })).alert).toBe(Alert.UNKNOWN_CA);
  });

  test('without its Certificate', () => {
    expect(meddled(replacing(HandshakeType.CERTIFICATE, () => [])).alert).toBe(Alert.UNEXPECTED_MESSAGE);
  });

  test('with octets after its Finished at the same level (RFC 9001 §4.1.3)', () => {
    const spanning = replacing(HandshakeType.FINISHED, (data) => [concat([data, Uint8Array.of(4)])]);
    expect(meddled(spanning).code).toBe(PROTOCOL_VIOLATION);
  });
});

describe('a CertificateRequest (RFC 8446 §4.3.2)', () => {
  const ALGORITHMS: Extension = [13, concat([u16(2), u16(0x0807)])];
  const after = (context: Uint8Array, extensions: readonly Extension[]): Meddle =>
    replacing(HandshakeType.ENCRYPTED_EXTENSIONS, (data) => [
      data,
      handshakeMessage(HandshakeType.CERTIFICATE_REQUEST, (w) => {
        vector(w, 1, (c) => c.bytes(context));
        vector(w, 2, (e) => {
          for (const [type, body] of extensions) extension(e, type, (x) => x.bytes(body));
        });
      }),
    ]);
  const none = new Uint8Array(0);
  const cases: readonly [name: string, meddle: Meddle, alert: number][] = [
    // The transcripts differ then, so the server's signature does not fit: the request itself was taken.
    ['that is sound is taken, with what is unknown in it', after(none, [ALGORITHMS, [0x4a4a, none]]), 51],
    ['with a context is refused', after(u16(1), [ALGORITHMS]), Alert.ILLEGAL_PARAMETER],
    ['without signature_algorithms is refused', after(none, []), Alert.MISSING_EXTENSION],
    ['with a malformed list of them is refused', after(none, [[13, u16(3)]]), Alert.DECODE_ERROR],
    ['with key_share is refused', after(none, [ALGORITHMS, SHARE]), Alert.ILLEGAL_PARAMETER],
  ];
  test.each(cases)('%s', (_name, meddle, alert) => {
    expect(meddled(meddle).alert).toBe(alert);
  });
});

describe('after the handshake, the client', () => {
  const connected = () => {
    const client = new TlsClient(clientOptions());
    expectAgreement(run(client, new TlsServer(serverOptions())));
    return client;
  };
  const ticket = (lifetime: number, extensions: readonly Extension[]) =>
    handshakeMessage(HandshakeType.NEW_SESSION_TICKET, (w) => {
      w.u32(lifetime).u32(1).u8(1).u8(0).u16(2).u16(0xabcd);
      vector(w, 2, (e) => {
        for (const [type, body] of extensions) extension(e, type, (x) => x.bytes(body));
      });
    });

  test('takes session tickets and says nothing (RFC 8446 §4.6.1)', () => {
    const client = connected();
    for (let i = 0; i < 3; i++)
      client.receive('application', ticket(7200, [[42, new Uint8Array(4).fill(0xff)]]));
    expect(client.poll()).toBeUndefined();
  });

  test('keeps no ticket longer than seven days, whatever it says, and none of no lifetime (RFC 8446 §4.6.1)', () => {
    const kept: SessionTicket[] = [];
    const lasting = leafChain('ecdsa', { days: 100 });
    const certificates = [{ chain: lasting, privateKey: keys.ecdsa }];
    const client = new TlsClient(clientOptions({ onTicket: (given) => kept.push(given) }));
    expectAgreement(run(client, new TlsServer(serverOptions({ certificates }))));
    for (const seconds of [0, 7200, 604_800, 604_801, 0xffff_ffff])
      client.receive('application', ticket(seconds, []));
    const lifetimes = kept.map(({ expiresAtEpochMs }) => (expiresAtEpochMs - NOW_MS) / 1000);
    expect(lifetimes).toEqual([7200, 604_800, 604_800, 604_800]);
  });

  test('refuses a ticket that limits early data (RFC 9001 §4.6.1)', () => {
    const limited = ticket(7200, [[42, new Uint8Array(4)]]);
    expect(alertOf(() => connected().receive('application', limited)).code).toBe(PROTOCOL_VIOLATION);
  });

  test('refuses a ticket with an extension that belongs elsewhere, or octets after its early data (RFC 8446 §4.2)', () => {
    const odd = ticket(7200, [[51, u16(29)]]);
    expect(alertOf(() => connected().receive('application', odd)).alert).toBe(Alert.ILLEGAL_PARAMETER);
    const long = ticket(7200, [[42, new Uint8Array(5).fill(0xff)]]);
    expect(alertOf(() => connected().receive('application', long)).alert).toBe(Alert.DECODE_ERROR);
    connected().receive('application', ticket(7200, [[0x4a4a, u16(0)]]));
  });

  test('refuses a CertificateRequest (RFC 9001 §4.4) and a KeyUpdate (RFC 9001 §6)', () => {
    const request = handshakeMessage(HandshakeType.CERTIFICATE_REQUEST, (w) => w.zeros(3));
    expect(alertOf(() => connected().receive('application', request)).code).toBe(PROTOCOL_VIOLATION);
    const update = handshakeMessage(HandshakeType.KEY_UPDATE, (w) => w.u8(0));
    expect(alertOf(() => connected().receive('application', update)).alert).toBe(Alert.UNEXPECTED_MESSAGE);
  });
});

describe('hostile octets', () => {
  const session = offeredSession();
  const tickets = { secret: TICKET_SECRET, nowEpochMs: () => NOW_MS };
  const groups = [NamedGroup.SECP256R1];
  const kinds: readonly [
    name: string,
    client: Partial<TlsClientOptions>,
    server: Partial<TlsServerOptions>,
  ][] = [
    ['a full handshake', {}, {}],
    ['one with HelloRetryRequest', {}, { groups }],
    ['a resumed one', { session }, { tickets }],
    ['a resumed one with HelloRetryRequest', { session }, { tickets, groups }],
  ];

  test.each(kinds)(
    'a changed octet anywhere in %s keeps it from completing, by an alert or by silence',
    (_, client, server) => {
      const make = () =>
        [new TlsClient(clientOptions(client)), new TlsServer(serverOptions(server))] as const;
      let messages = 0;
      const sound = run(...make(), (_from, _level, data) => {
        messages += 1;
        return [data];
      });
      expectAgreement(sound);
      fc.assert(
        fc.property(
          // The last message is a ticket where tickets are given: it comes when all is over.
          fc.integer({ min: 0, max: messages - 1 - (server.tickets ? 1 : 0) }),
          fc.double({ min: 0, max: 0.999999, noNaN: true }),
          fc.integer({ min: 1, max: 255 }),
          (target, where, mask) => {
            let index = 0;
            const meddle: Meddle = (_from, _level, data) => {
              if (index++ !== target) return [data];
              const at = Math.floor(where * data.length);
              return [data.map((octet, i) => (i === at ? octet ^ mask : octet))];
            };
            const [near, far] = make();
            let completed = false;
            try {
              const events = run(near, far, meddle).server;
              completed = events.some((event) => event.type === 'complete');
            } catch (error) {
              const { alert } = alertOf(() => {
                throw error;
              });
              expect(alert).not.toBe(Alert.INTERNAL_ERROR);
            }
            expect(completed).toBe(false);
          },
        ),
        { numRuns: 100 },
      );
    },
  );

  test('a message of random octets raises an alert, never an internal error', () => {
    const bodies = fc.tuple(fc.constantFrom(1, 2, 8, 11, 13, 15, 20), fc.uint8Array({ maxLength: 200 }));
    fc.assert(
      fc.property(bodies, ([type, body]) => {
        const message = handshakeMessage(type, (w) => w.bytes(body));
        for (const session of [new TlsClient(clientOptions()), new TlsServer(serverOptions())]) {
          expect(alertOf(() => session.receive('initial', message)).alert).not.toBe(Alert.INTERNAL_ERROR);
        }
      }),
      { numRuns: 300 },
    );
  });
});
