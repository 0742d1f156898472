import type { CipherSuite } from '../../../tls/index.ts';
import {
  ApplicationKeys,
  aeadLimits,
  deriveInitialKeys,
  NODE_CIPHERS,
  type PacketCiphers,
  PacketKeys,
} from '../../protection/index.ts';

/** Keys of both directions of the Initial or the Handshake space. */
export interface KeyPair {
  readonly send: PacketKeys;
  readonly receive: PacketKeys;
}

/** The packet protection keys of a connection, by space; gone ones are `undefined` again (RFC 9001 §4.9). */
export class ConnectionKeys {
  readonly #role: 'client' | 'server';
  #ciphers: PacketCiphers;
  initial: KeyPair | undefined;
  handshake: KeyPair | undefined;
  application: ApplicationKeys | undefined;
  initialDiscarded = false;
  handshakeDiscarded = false;

  constructor(role: 'client' | 'server', ciphers: PacketCiphers = NODE_CIPHERS) {
    this.#role = role;
    this.#ciphers = ciphers;
  }

  /** For keys that are made from now on: of Handshake and 1-RTT packets. */
  setCiphers(ciphers: PacketCiphers): void {
    this.#ciphers = ciphers;
  }

  /**
   * Initial keys from the Destination CID of the client's first packet, or of its first one after a Retry. Few packets have them,
   * and clients that have proved nothing: they are `node:crypto`'s, which hold nothing outside of the garbage collector's reach.
   */
  setInitial(destination: Uint8Array): void {
    const { client, server } = deriveInitialKeys(destination);
    this.initial =
      this.#role === 'client' ? { send: client, receive: server } : { send: server, receive: client };
  }

  setHandshake(suite: CipherSuite, clientSecret: Uint8Array, serverSecret: Uint8Array): void {
    const client = new PacketKeys(suite, clientSecret, aeadLimits(suite), this.#ciphers);
    const server = new PacketKeys(suite, serverSecret, aeadLimits(suite), this.#ciphers);
    this.handshake =
      this.#role === 'client' ? { send: client, receive: server } : { send: server, receive: client };
  }

  setApplication(suite: CipherSuite, clientSecret: Uint8Array, serverSecret: Uint8Array): void {
    const [send, receive] =
      this.#role === 'client' ? [clientSecret, serverSecret] : [serverSecret, clientSecret];
    this.application = new ApplicationKeys(suite, send, receive, aeadLimits(suite), this.#ciphers);
  }

  discardInitial(): void {
    this.initial = undefined;
    this.initialDiscarded = true;
  }

  discardHandshake(): void {
    disposePair(this.handshake);
    this.handshake = undefined;
    this.handshakeDiscarded = true;
  }

  /** The connection is over and forgotten: no key of it is used again. */
  dispose(): void {
    disposePair(this.handshake);
    this.application?.dispose();
  }
}

function disposePair(keys: KeyPair | undefined): void {
  keys?.send.dispose();
  keys?.receive.dispose();
}
