import type { CipherSuite } from '../../../tls/index.ts';
import { ApplicationKeys, deriveInitialKeys, PacketKeys } from '../../protection/index.ts';

/** Keys of both directions of the Initial or the Handshake space. */
export interface KeyPair {
  readonly send: PacketKeys;
  readonly receive: PacketKeys;
}

/** The packet protection keys of a connection, by space; gone ones are `undefined` again (RFC 9001 §4.9). */
export class ConnectionKeys {
  readonly #role: 'client' | 'server';
  initial: KeyPair | undefined;
  handshake: KeyPair | undefined;
  application: ApplicationKeys | undefined;
  initialDiscarded = false;
  handshakeDiscarded = false;

  constructor(role: 'client' | 'server') {
    this.#role = role;
  }

  /** Initial keys from the Destination CID of the client's first packet, or of its first one after a Retry. */
  setInitial(destination: Uint8Array): void {
    const { client, server } = deriveInitialKeys(destination);
    this.initial =
      this.#role === 'client' ? { send: client, receive: server } : { send: server, receive: client };
  }

  setHandshake(suite: CipherSuite, clientSecret: Uint8Array, serverSecret: Uint8Array): void {
    const client = new PacketKeys(suite, clientSecret);
    const server = new PacketKeys(suite, serverSecret);
    this.handshake =
      this.#role === 'client' ? { send: client, receive: server } : { send: server, receive: client };
  }

  setApplication(suite: CipherSuite, clientSecret: Uint8Array, serverSecret: Uint8Array): void {
    this.application =
      this.#role === 'client'
        ? new ApplicationKeys(suite, clientSecret, serverSecret)
        : new ApplicationKeys(suite, serverSecret, clientSecret);
  }

  discardInitial(): void {
    this.initial = undefined;
    this.initialDiscarded = true;
  }

  discardHandshake(): void {
    this.handshake = undefined;
    this.handshakeDiscarded = true;
  }
}
