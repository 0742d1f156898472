import { createCipheriv, createDecipheriv, X509Certificate } from 'node:crypto';
import { Duplex } from 'node:stream';
import { createSecureContext, type SecureContext, TLSSocket, type TlsOptions } from 'node:tls';
import { describe, expect, test } from 'vitest';
import {
  CipherSuite,
  hkdfExpandLabel,
  NamedGroup,
  type SessionTicket,
  type SuiteParts,
  suiteParts,
  TlsClient,
  type TlsEvent,
} from '../../../proto/tls/index.ts';
import { concat, Reader, Writer } from '../../../proto/wire/index.ts';
import { type KeyName, keys, leafChain } from './certificates.ts';
import { clientOptions } from './loop.ts';

// Node's own TLS is OpenSSL: another implementation to talk to. It speaks records (RFC 8446 §5), so here is a thin layer of them.

const CHANGE_CIPHER_SPEC = 20;
const HANDSHAKE = 22;
const APPLICATION = 23;
const NONE = new Uint8Array(0);

/** One direction under one traffic secret. */
class Protection {
  readonly #aead: SuiteParts['aead'];
  readonly #key: Uint8Array;
  readonly #iv: Uint8Array;
  #sequence = 0;

  constructor(suite: CipherSuite, secret: Uint8Array) {
    const { aead, hash, keyOctets } = suiteParts(suite);
    this.#aead = aead;
    this.#key = hkdfExpandLabel(secret, 'key', NONE, keyOctets, hash);
    this.#iv = hkdfExpandLabel(secret, 'iv', NONE, 12, hash);
  }

  #nonce(): Uint8Array {
    const counter = new Writer(new Uint8Array(12))
      .u32(0)
      .u64(this.#sequence++)
      .finish();
    return this.#iv.map((octet, i) => octet ^ (counter[i] ?? 0));
  }

  seal(type: number, content: Uint8Array): Uint8Array {
    const header = new Writer(new Uint8Array(5))
      .u8(APPLICATION)
      .u16(0x0303)
      .u16(content.length + 17)
      .finish();
    const inner = concat([content, Uint8Array.of(type)]);
    if (this.#aead !== 'chacha20-poly1305') {
      const cipher = createCipheriv(this.#aead, this.#key, this.#nonce()).setAAD(header);
      return concat([header, cipher.update(inner), cipher.final(), cipher.getAuthTag()]);
    }
    const cipher = createCipheriv('chacha20-poly1305', this.#key, this.#nonce(), { authTagLength: 16 });
    cipher.setAAD(header, { plaintextLength: inner.length });
    return concat([header, cipher.update(inner), cipher.final(), cipher.getAuthTag()]);
  }

  open(header: Uint8Array, body: Uint8Array): { type: number; content: Uint8Array } {
    const sealed = body.subarray(0, -16);
    const decipher =
      this.#aead !== 'chacha20-poly1305'
        ? createDecipheriv(this.#aead, this.#key, this.#nonce())
        : createDecipheriv('chacha20-poly1305', this.#key, this.#nonce(), { authTagLength: 16 });
    decipher.setAAD(header, { plaintextLength: sealed.length }).setAuthTag(body.subarray(-16));
    const inner = concat([decipher.update(sealed), decipher.final()]);
    const end = inner.findLastIndex((octet) => octet !== 0);
    return { type: inner[end] ?? 0, content: inner.subarray(0, end) };
  }
}

/** OpenSSL knows nothing of transport parameters. */
class PlainClient extends TlsClient {
  protected override transportParametersOf(): Uint8Array {
    return NONE;
  }
}

/** A client over records: collects application data until the far end has said `goodbye`. */
class RecordClient {
  readonly events: TlsEvent[] = [];
  received = '';
  #pending: Uint8Array = NONE;
  #readLevel: 'initial' | 'handshake' | 'application' = 'initial';
  readonly #readers: Partial<Record<string, Protection>> = {};
  readonly #writers: Partial<Record<string, Protection>> = {};
  readonly #client: TlsClient;
  readonly #out: (data: Uint8Array) => void;

  constructor(client: TlsClient, out: (data: Uint8Array) => void) {
    this.#client = client;
    this.#out = out;
    this.flush();
  }

  flush(): void {
    for (let event = this.#client.poll(); event !== undefined; event = this.#client.poll()) {
      this.events.push(event);
      if (event.type === 'secrets') {
        this.#readers[event.level] = new Protection(event.cipherSuite, event.serverSecret);
        this.#writers[event.level] = new Protection(event.cipherSuite, event.clientSecret);
        this.#readLevel = event.level;
      } else if (event.type === 'send' && event.level === 'initial') {
        const header = new Writer(new Uint8Array(5))
          .u8(HANDSHAKE)
          .u16(0x0301)
          .u16(event.data.length)
          .finish();
        this.#out(concat([header, event.data]));
      } else if (event.type === 'send') {
        this.#out(this.#writers[event.level]?.seal(HANDSHAKE, event.data) ?? NONE);
      }
    }
  }

  say(text: string): void {
    this.#out(this.#writers.application?.seal(APPLICATION, new TextEncoder().encode(text)) ?? NONE);
  }

  receive(data: Uint8Array): void {
    this.#pending = concat([this.#pending, data]);
    for (;;) {
      const reader = new Reader(this.#pending);
      if (reader.remaining < 5) return;
      const header = reader.bytes(5);
      const length = new Reader(header, 3).u16();
      if (reader.remaining < length) return;
      const body = reader.bytes(length);
      this.#pending = reader.rest();
      this.#record(header, body);
      this.flush();
    }
  }

  #record(header: Uint8Array, body: Uint8Array): void {
    const type = header[0];
    // RFC 8446 §5: a change_cipher_spec for the sake of middleboxes means nothing.
    if (type === CHANGE_CIPHER_SPEC) return;
    if (type === HANDSHAKE) {
      this.#client.receive('initial', body);
      return;
    }
    if (type !== APPLICATION) throw new Error(`record type ${type}: ${Buffer.from(body).toString('hex')}`);
    const opened = this.#readers[this.#readLevel]?.open(header, body);
    if (opened?.type === HANDSHAKE) this.#client.receive(this.#readLevel, opened.content);
    else if (opened?.type === APPLICATION) this.received += Buffer.from(opened.content).toString();
    else throw new Error(`alert or worse: ${opened?.type} ${opened?.content}`);
  }
}

/** Two ends of a wire in memory. */
function wire(): [Duplex, Duplex] {
  const make = (peer: () => Duplex) =>
    new Duplex({
      read() {},
      write(chunk, _encoding, done) {
        peer().push(chunk);
        done();
      },
    });
  const a: Duplex = make(() => b);
  const b: Duplex = make(() => a);
  return [a, b];
}

const pem = (der: Uint8Array) => new X509Certificate(der).toString();

/** A server's keys, certificates and, while it lives, its ticket keys. */
function contextOf(keyName: KeyName, ecdhCurve?: string): SecureContext {
  return createSecureContext({
    key: keys[keyName].export({ format: 'pem', type: 'pkcs8' }),
    cert: leafChain(keyName).map(pem).join(''),
    minVersion: 'TLSv1.3',
    ...(ecdhCurve === undefined ? {} : { ecdhCurve }),
  });
}

function converse(
  client: TlsClient,
  secureContext: SecureContext,
  options: TlsOptions = {},
): Promise<RecordClient> {
  const [near, far] = wire();
  return new Promise((resolve, reject) => {
    const server = new TLSSocket(far, {
      isServer: true,
      secureContext,
      ALPNProtocols: ['h3'],
      requestCert: options.requestCert ?? false,
      rejectUnauthorized: false,
    });
    server.on('error', reject);
    server.on('data', (data: Buffer) => server.write(`heard ${data}`));
    let spoken = false;
    near.on('data', (data: Buffer) => {
      try {
        records.receive(data);
      } catch (error) {
        reject(error as Error);
      }
      if (!spoken && records.events.at(-1)?.type === 'complete') {
        spoken = true;
        records.say('hello');
      }
      if (records.received !== '') {
        resolve(records);
        near.destroy();
        far.destroy();
      }
    });
    const records = new RecordClient(client, (data) => near.write(data));
  });
}

describe('the client shakes hands with OpenSSL and exchanges data under its keys', () => {
  for (const [suiteName, suite] of Object.entries(CipherSuite)) {
    for (const [groupName, group] of Object.entries(NamedGroup)) {
      for (const keyName of ['ecdsa', 'rsa', 'ed25519'] as const) {
        test(`${suiteName}, ${groupName}, ${keyName}`, async () => {
          const client = new PlainClient(clientOptions({ cipherSuites: [suite], groups: [group] }));
          const { received } = await converse(client, contextOf(keyName));
          expect(received).toBe('heard hello');
        });
      }
    }
  }

  test('after a HelloRetryRequest', async () => {
    const client = new PlainClient(clientOptions({ keyShareGroups: [NamedGroup.X25519] }));
    const { received, events } = await converse(client, contextOf('ecdsa', 'P-256'));
    expect(received).toBe('heard hello');
    expect(events.filter((event) => event.type === 'send' && event.level === 'initial')).toHaveLength(2);
  });

  const { TLS_AES_128_GCM_SHA256: AES_128, TLS_AES_256_GCM_SHA384: AES_256 } = CipherSuite;
  test.each([
    ['', AES_128, undefined, 1],
    [', after a HelloRetryRequest', AES_128, 'P-256', 2],
    [', with SHA-384', AES_256, undefined, 1],
    [', with SHA-384, after a HelloRetryRequest', AES_256, 'P-256', 2],
  ] as const)(
    'resuming a session that OpenSSL gave a ticket for (RFC 8446 §4.2.11.2)%s',
    async (_, suite, curve, hellos) => {
      const context = contextOf('ecdsa', curve);
      const tickets: SessionTicket[] = [];
      const onTicket = (ticket: SessionTicket) => void tickets.push(ticket);
      const options = { onTicket, cipherSuites: [suite] };
      await converse(new PlainClient(clientOptions(options)), context);
      expect(tickets.length).toBeGreaterThan(0);
      const again = new PlainClient(clientOptions({ ...options, session: tickets.at(-1)! }));
      const { received, events } = await converse(again, context);
      expect(received).toBe('heard hello');
      expect(events.find((event) => event.type === 'complete')).toMatchObject({ resumed: true });
      expect(events.filter((event) => event.type === 'send' && event.level === 'initial')).toHaveLength(
        hellos,
      );
    },
  );

  test('answering a CertificateRequest with no certificate (RFC 8446 §4.4.2)', async () => {
    const client = new PlainClient(clientOptions());
    const { received, events } = await converse(client, contextOf('ecdsa'), { requestCert: true });
    expect(received).toBe('heard hello');
    const sent = events.filter((event) => event.type === 'send' && event.level === 'handshake');
    expect(sent[0]).toMatchObject({ data: Uint8Array.of(11, 0, 0, 4, 0, 0, 0, 0) });
  });
});
