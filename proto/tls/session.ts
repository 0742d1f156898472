import { timingSafeEqual } from 'node:crypto';
import { toHex, WireError } from '../wire/index.ts';
import { Alert, fail, failBuffer, failQuic } from './alerts.ts';
import { bodyOf, type Extensions, type HandshakeMessage, HandshakeType, MessageBuffer } from './codec.ts';
import { DEFAULT_CIPHER_SUITES, DEFAULT_GROUPS } from './defaults.ts';
import { ExtensionType, required } from './extensions.ts';
import {
  applicationSecrets,
  finishedVerifyData,
  type HandshakeSecrets,
  handshakeSecrets,
  resumptionMasterSecret,
} from './key-schedule.ts';
import { readFinished, writeFinished } from './messages.ts';
import type { CommonOptions, NamedGroup } from './options.ts';
import { type HashName, hashOctets, suiteParts } from './suites.ts';
import { Transcript } from './transcript.ts';
import {
  type CipherSuite,
  type CryptoLevel,
  TlsAlertError,
  type TlsEvent,
  type TlsSession,
} from './types.ts';

/**
 * Largest handshake message, in octets: room for a long RSA chain or a post-quantum ClientHello. It is also the most
 * that one handshake ever buffers, beside what comes in a single `receive`.
 */
const MAX_MESSAGE_LENGTH = 65_536;

/** What both roles share: reassembly, levels, transcript, key schedule, and the queue of events. */
export abstract class HandshakeSession implements TlsSession {
  protected readonly transcript = new Transcript();
  readonly #events: TlsEvent[] = [];
  readonly #buffer = new MessageBuffer();
  readonly #keyLog: ((line: string) => void) | undefined;
  /** Ours, most preferred first. */
  protected readonly cipherSuites: readonly CipherSuite[];
  protected readonly groups: readonly NamedGroup[];
  /** Of the cipher suite, once one is chosen. */
  #hash: HashName = 'sha256';
  #level: CryptoLevel = 'initial';
  #failure: TlsAlertError | undefined;
  #secrets: HandshakeSecrets | undefined;
  #master: Uint8Array | undefined;

  constructor(options: CommonOptions) {
    this.#keyLog = options.keyLog;
    this.cipherSuites = options.cipherSuites ?? DEFAULT_CIPHER_SUITES;
    this.groups = options.groups ?? DEFAULT_GROUPS;
  }

  poll(): TlsEvent | undefined {
    return this.#events.shift();
  }

  receive(level: CryptoLevel, data: Uint8Array): void {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      this.#consume(level, data);
    } catch (error) {
      this.#failure = toAlert(error);
      // RFC 8446 §6: nothing is kept of a handshake that failed.
      this.#secrets = undefined;
      this.#master = undefined;
      throw this.#failure;
    }
  }

  #consume(level: CryptoLevel, data: Uint8Array): void {
    if (data.length === 0) return;
    // RFC 9001 §4.1.3: no new octets at a level that is over; none come before the keys of their level.
    if (level !== this.#level)
      failQuic(`handshake octets at level ${level} while ${this.#level} is expected`);
    this.#buffer.append(data);
    for (;;) {
      const length = this.#buffer.messageLength();
      if (length !== undefined && length > MAX_MESSAGE_LENGTH) {
        failBuffer(`a handshake message of ${length} octets is longer than ${MAX_MESSAGE_LENGTH}`);
      }
      const message = this.#buffer.next();
      if (message === undefined) return;
      this.#dispatch(message);
    }
  }

  #dispatch(message: HandshakeMessage): void {
    // RFC 9001 §6: keys are updated by packets, never by this message.
    if (message.type === HandshakeType.KEY_UPDATE) fail(Alert.UNEXPECTED_MESSAGE, 'KeyUpdate came over QUIC');
    // RFC 9001 §8.3.
    if (message.type === HandshakeType.END_OF_EARLY_DATA) failQuic('EndOfEarlyData came over QUIC');
    this.handle(message);
  }

  /** One whole message, at the level that is expected now. The transcript is the callee's. */
  protected abstract handle(message: HandshakeMessage): void;

  /** From now on the peer speaks at `level`. No message may span the change (RFC 8446 §5.1, RFC 9001 §4.1.3). */
  protected expectLevel(level: CryptoLevel): void {
    if (this.#buffer.length > 0)
      failQuic(`handshake octets follow at level ${this.#level} after its last message`);
    this.#level = level;
  }

  /** The peer's transport parameters (RFC 9001 §8.2). A protected method, so that tests may speak to TLS without QUIC. */
  protected transportParametersOf(extensions: Extensions): Uint8Array {
    const type = ExtensionType.QUIC_TRANSPORT_PARAMETERS;
    return required(extensions, type, 'quic_transport_parameters').rest().slice();
  }

  protected emit(event: TlsEvent): void {
    this.#events.push(event);
  }

  /** Sends a message and takes it into the transcript. */
  protected send(level: CryptoLevel, message: Uint8Array): void {
    this.transcript.add(message);
    this.emit({ type: 'send', level, data: message });
  }

  /** The cipher suite is chosen, and with it the hash of transcript and secrets. */
  protected chooseSuite(suite: CipherSuite): void {
    this.#hash = suiteParts(suite).hash;
    this.transcript.choose(this.#hash);
  }

  /** Handshake secrets over ClientHello..ServerHello. */
  protected startHandshakeKeys(
    cipherSuite: CipherSuite,
    shared: Uint8Array,
    clientRandom: Uint8Array,
    psk: Uint8Array | undefined,
  ): void {
    const secrets = handshakeSecrets(shared, this.transcript.digest(), psk, this.#hash);
    this.#secrets = secrets;
    this.#log('CLIENT_HANDSHAKE_TRAFFIC_SECRET', clientRandom, secrets.client);
    this.#log('SERVER_HANDSHAKE_TRAFFIC_SECRET', clientRandom, secrets.server);
    this.emit({
      type: 'secrets',
      level: 'handshake',
      cipherSuite,
      clientSecret: secrets.client,
      serverSecret: secrets.server,
    });
  }

  /** Application secrets over ClientHello..server Finished. */
  protected startApplicationKeys(cipherSuite: CipherSuite, clientRandom: Uint8Array): void {
    const secrets = applicationSecrets(this.#handshakeSecrets().secret, this.transcript.digest(), this.#hash);
    this.#master = secrets.master;
    this.#log('CLIENT_TRAFFIC_SECRET_0', clientRandom, secrets.client);
    this.#log('SERVER_TRAFFIC_SECRET_0', clientRandom, secrets.server);
    this.#log('EXPORTER_SECRET', clientRandom, secrets.exporter);
    this.emit({
      type: 'secrets',
      level: 'application',
      cipherSuite,
      clientSecret: secrets.client,
      serverSecret: secrets.server,
    });
  }

  /** The secret that tickets come from. Call once, after both Finished; then nothing of the handshake's secrets is left. */
  protected takeResumptionMaster(): Uint8Array {
    if (this.#master === undefined) fail(Alert.INTERNAL_ERROR, 'there is no master secret');
    const secret = resumptionMasterSecret(this.#master, this.transcript.digest(), this.#hash);
    this.#master = undefined;
    this.#secrets = undefined;
    return secret;
  }

  protected sendFinished(role: 'client' | 'server'): void {
    const secret = this.#handshakeSecrets()[role];
    const verifyData = finishedVerifyData(secret, this.transcript.digest(), this.#hash);
    this.send('handshake', writeFinished(verifyData));
  }

  /** Checks the Finished of `role` against the transcript before it, then takes it in (RFC 8446 §4.4.4). */
  protected checkFinished(role: 'client' | 'server', message: HandshakeMessage): void {
    const secret = this.#handshakeSecrets()[role];
    const expected = finishedVerifyData(secret, this.transcript.digest(), this.#hash);
    const octets = hashOctets(this.#hash);
    if (bodyOf(message).remaining !== octets) fail(Alert.DECODE_ERROR, `Finished is not of ${octets} octets`);
    if (!timingSafeEqual(readFinished(message), expected)) {
      fail(Alert.DECRYPT_ERROR, `the ${role}'s Finished does not match the handshake`);
    }
    this.transcript.add(message.raw);
  }

  #handshakeSecrets(): HandshakeSecrets {
    if (this.#secrets === undefined) fail(Alert.INTERNAL_ERROR, 'there are no handshake keys yet');
    return this.#secrets;
  }

  #log(label: string, clientRandom: Uint8Array, secret: Uint8Array): void {
    this.#keyLog?.(`${label} ${toHex(clientRandom)} ${toHex(secret)}`);
  }
}

function toAlert(error: unknown): TlsAlertError {
  if (error instanceof TlsAlertError) return error;
  if (error instanceof WireError) return new TlsAlertError(Alert.DECODE_ERROR, error.message);
  // A primitive of node:crypto refused something that was not foreseen: still an alert, never a crash by peer input.
  const reason = error instanceof Error ? error.message : String(error);
  return new TlsAlertError(Alert.INTERNAL_ERROR, reason);
}

export function unexpected(message: HandshakeMessage, expected: string): never {
  fail(Alert.UNEXPECTED_MESSAGE, `handshake message ${message.type} came while ${expected} was expected`);
}
