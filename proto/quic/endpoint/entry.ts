import type { QuicConnection } from '../connection/connection.ts';
import type { ConnectionIdRegistry } from '../connection/ids/local-connection-ids.ts';
import type { ResetTokenWatch } from '../connection/ids/remote-connection-ids.ts';
import type { Counted } from './address-load.ts';
import type { Scheduled } from './deadline-heap.ts';

/** What an entry needs of its endpoint. */
export interface EntryHost {
  issueConnectionId(entry: ConnectionEntry): Uint8Array;
  resetToken(connectionId: Uint8Array): Uint8Array;
  releaseConnectionId(connectionId: Uint8Array): void;
  watchToken(token: Uint8Array, entry: ConnectionEntry): void;
  unwatchToken(token: Uint8Array): void;
  onHandshakeDone(entry: ConnectionEntry): void;
}

/** A connection's place in its endpoint: its CIDs, its deadline, and whether it waits to be looked at. */
export class ConnectionEntry implements Scheduled, ConnectionIdRegistry, ResetTokenWatch {
  scheduledAt = 0;
  heapSlot = -1;
  /** In the list of those that may have something to send. */
  inSendQueue = false;
  /** The turn of its schedule in which it came there. */
  queuedInTurn = 0;
  /** In the list of those that may have events. */
  inPollQueue = false;
  /** Taken from a client whose handshake is not done. */
  halfOpen = false;
  /** Its place in the counts by address, while it is a client's and open. */
  counted: Counted | undefined;
  /** It has ended and waits for its closing period. */
  closing = false;
  /**
   * The CID that a client made up for its first packets. It leads here until the end, so that a late copy of such a
   * packet makes no second connection.
   */
  initialDestination: Uint8Array | undefined;
  connection!: QuicConnection;
  readonly #host: EntryHost;

  constructor(host: EntryHost) {
    this.#host = host;
  }

  issue(): Uint8Array {
    return this.#host.issueConnectionId(this);
  }

  resetToken(connectionId: Uint8Array): Uint8Array {
    return this.#host.resetToken(connectionId);
  }

  release(connectionId: Uint8Array): void {
    this.#host.releaseConnectionId(connectionId);
  }

  handshakeDone(): void {
    this.#host.onHandshakeDone(this);
  }

  watch(token: Uint8Array): void {
    this.#host.watchToken(token, this);
  }

  unwatch(token: Uint8Array): void {
    this.#host.unwatchToken(token);
  }
}
