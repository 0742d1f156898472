import { describe, expect, test } from 'vitest';
import { NamedGroup } from '../../proto/tls/index.ts';
import { liveServer, type RawPeer, rawClient, rawServer } from '../support/conformance-peer.ts';
import { testCertificate } from '../support/quic-fixtures.ts';
import { QuicPair } from '../support/quic-pair.ts';

const CRYPTO_ERROR = 0x0100;
const PROTOCOL_VIOLATION = 0x0a;
const FINISHED = 20;
type Bytes = Uint8Array;

/** Replaces the only place where `from` stands. */
function replaced(data: Bytes, from: readonly number[], to: readonly number[]): Bytes {
  const at = Buffer.from(data).indexOf(Buffer.from(from));
  if (at < 0) return data;
  const changed = data.slice();
  changed.set(to, at);
  return changed;
}

/** The code with which the engine closes when the peer's messages are changed so. */
function codeAfter(
  make: () => { peer: RawPeer },
  change: (level: string, data: Bytes) => readonly Bytes[],
): number | undefined {
  const { peer } = make();
  peer.onTlsSend = change;
  peer.settle();
  return peer.closeCode;
}

const flipLast = (data: Bytes): Bytes => {
  const changed = data.slice();
  changed[changed.length - 1]! ^= 1;
  return changed;
};

describe('alerts become CRYPTO_ERROR codes (RFC 9001 §4.8)', () => {
  test('RFC 8446 §4.4.4, RFC 9001 §4.8: a wrong Finished is decrypt_error, from either side', () => {
    const wrong = (level: string, data: Bytes) => [
      level === 'handshake' && data[0] === FINISHED ? flipLast(data) : data,
    ];
    expect(codeAfter(rawClient, wrong)).toBe(CRYPTO_ERROR + 51);
    expect(codeAfter(rawServer, wrong)).toBe(CRYPTO_ERROR + 51);
  });

  test('RFC 8446 §4.2.1, RFC 9001 §4.2: a client that speaks no TLS 1.3 is protocol_version', () => {
    const old = (_: string, data: Bytes) => [
      replaced(data, [0x00, 0x2b, 0x00, 0x03, 0x02, 0x03, 0x04], [0x00, 0x2b, 0x00, 0x03, 0x02, 0x03, 0x03]),
    ];
    expect(codeAfter(rawClient, old)).toBe(CRYPTO_ERROR + 70);
  });

  test('RFC 8446 §4.1.1: no common cipher suite is handshake_failure', () => {
    const none = (_: string, data: Bytes) => [
      replaced(data, [0x13, 0x01, 0x13, 0x02, 0x13, 0x03], [0x13, 0x04, 0x13, 0x05, 0x13, 0x06]),
    ];
    expect(codeAfter(rawClient, none)).toBe(CRYPTO_ERROR + 40);
  });

  test('RFC 8446 §4.1.3: a server that chooses a suite that was not offered is illegal_parameter', () => {
    const other = (level: string, data: Bytes) => [
      level === 'initial' ? replaced(data, [0x13, 0x01, 0x00], [0x13, 0x04, 0x00]) : data,
    ];
    expect(codeAfter(rawServer, other)).toBe(CRYPTO_ERROR + 47);
  });

  test('RFC 8446 §4, §6.2: a message of unknown type, or out of turn, is unexpected_message', () => {
    for (const type of [0x63, 0x0b, 0x14])
      expect(codeAfter(rawClient, (_, data) => [Uint8Array.from([type, ...data.subarray(1)])])).toBe(
        CRYPTO_ERROR + 10,
      );
  });

  test('RFC 8446 §4.2.8.2, §7.4.2: a key share of zeros is illegal_parameter', () => {
    const zeros = (_: string, data: Bytes) => {
      const at = Buffer.from(data).indexOf(Buffer.from([0x00, 0x1d, 0x00, 0x20]));
      const changed = data.slice();
      changed.fill(0, at + 4, at + 36);
      return [changed];
    };
    expect(codeAfter(rawClient, zeros)).toBe(CRYPTO_ERROR + 47);
  });

  test('RFC 8446 §4.1.2, RFC 9000 §7.5: a ClientHello that says it has 16 MB ends the handshake at once', () => {
    const { peer } = rawClient();
    peer.onTlsSend = (_, data) => [Uint8Array.from([1, 0xff, 0xff, 0xff, ...data.subarray(4)])];
    peer.settle();
    expect(peer.closeCode).toBeGreaterThanOrEqual(0x0a);
  });

  test('RFC 8446 §5.1, RFC 9001 §4.1.3: a message that would go over a change of keys is PROTOCOL_VIOLATION', () => {
    const { peer } = rawServer();
    peer.onTlsSend = (level, data) => (level === 'initial' ? [Uint8Array.from([...data, 8])] : [data]);
    peer.settle();
    expect(peer.closeCode).toBe(PROTOCOL_VIOLATION);
  });
});

describe('handshakes in pieces (RFC 8446 §5.1)', () => {
  test('RFC 8446 §5.1, RFC 9000 §19.6: messages that come octet by octet, backwards, complete the handshake', () => {
    const { peer } = rawClient();
    peer.onTlsSend = (level, data) => {
      if (level !== 'handshake') return [data];
      for (let offset = data.length - 1; offset >= 0; offset--)
        peer.queue('handshake', { type: 'crypto', offset, data: data.subarray(offset, offset + 1) });
      return [];
    };
    peer.settle();
    expect(peer.handshakeDone).toBe(true);
    expect(peer.closeCode).toBeUndefined();
  });

  test('RFC 8446 §4.1.4: HelloRetryRequest over QUIC: one round trip more, and the group that the server asks for', () => {
    const tls = { certificates: [testCertificate], alpnProtocols: ['test'], groups: [NamedGroup.SECP256R1] };
    const pair = new QuicPair({ delayMs: 50, server: { tls } });
    const { client } = pair.establish({
      groups: [NamedGroup.X25519, NamedGroup.SECP256R1],
      keyShareGroups: [NamedGroup.X25519],
    });
    expect(client.stats().handshakeMs).toBe(200);
  });

  test('RFC 8446 §4.2.8: a client that sends the right share needs no HelloRetryRequest', () => {
    const tls = { certificates: [testCertificate], alpnProtocols: ['test'], groups: [NamedGroup.SECP256R1] };
    const pair = new QuicPair({ delayMs: 50, server: { tls } });
    const { client } = pair.establish({ keyShareGroups: [NamedGroup.SECP256R1] });
    expect(client.stats().handshakeMs).toBe(100);
  });

  test('RFC 8446 §4.6.3, RFC 9001 §6: nothing of TLS is left to say to a server after its handshake', () => {
    for (const type of [24, 1, 4, 20]) {
      const { peer } = liveServer();
      peer.send('oneRtt', { type: 'crypto', offset: 0, data: Uint8Array.of(type, 0, 0, 1, 0) });
      expect(peer.closeCode).toBe(CRYPTO_ERROR + 10);
    }
  });
});
