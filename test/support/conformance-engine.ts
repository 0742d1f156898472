import { QuicConnection } from '../../proto/quic/connection/connection.ts';
import { createClient, createServer, transportConfig } from '../../proto/quic/connection/create.ts';
import { ConnectionKeys } from '../../proto/quic/connection/handshake/keys.ts';
import type { ConnectionIdRegistry } from '../../proto/quic/connection/ids/local-connection-ids.ts';
import type { ResetTokenWatch } from '../../proto/quic/connection/ids/remote-connection-ids.ts';
import type { DropReason, QuicObserver } from '../../proto/quic/connection/observer.ts';
import { DatagramSlab } from '../../proto/quic/connection/send/datagram-slab.ts';
import type { ConnectionState } from '../../proto/quic/connection/state.ts';
import type { Address, Datagram, QuicEvent, TransportConfig } from '../../proto/quic/index.ts';
import { parsePacket, statelessResetToken } from '../../proto/quic/packet/index.ts';
import { seededRandom, testCertificate } from './quic-fixtures.ts';

export const ENGINE_ADDRESS: Address = { host: '10.0.0.1', port: 4433 };
export const PEER_ADDRESS: Address = { host: '192.168.0.2', port: 5000 };
/** Octets of the engine's own CIDs. */
export const ENGINE_ID_OCTETS = 8;

/** What a raw peer talks to: an endpoint, or one connection without its endpoint. */
export interface Target {
  receive(datagram: Datagram, now: number): void;
  transmit(now: number): Datagram | undefined;
  deadline(): number | undefined;
  onDeadline(now: number): void;
}

const RESET_KEY = new Uint8Array(32).fill(7);

/** Hands out CIDs and counts them, as an endpoint would. */
class CountingOwner implements ConnectionIdRegistry, ResetTokenWatch {
  readonly #random = seededRandom(77);
  readonly ids = new Set<string>();
  readonly tokens = new Set<string>();
  /** The most CIDs that led to the connection at a time. */
  mostIds = 0;

  issue() {
    const connectionId = this.#random(ENGINE_ID_OCTETS);
    this.ids.add(Buffer.from(connectionId).toString('hex'));
    this.mostIds = Math.max(this.mostIds, this.ids.size);
    return connectionId;
  }
  resetToken(connectionId: Uint8Array): Uint8Array {
    return statelessResetToken(RESET_KEY, connectionId);
  }
  release(connectionId: Uint8Array): void {
    this.ids.delete(Buffer.from(connectionId).toString('hex'));
  }
  handshakeDone(): void {}
  watch(token: Uint8Array): void {
    this.tokens.add(Buffer.from(token).toString('hex'));
  }
  unwatch(token: Uint8Array): void {
    this.tokens.delete(Buffer.from(token).toString('hex'));
  }
}

/** One connection of the engine without its endpoint, with its inner state in sight. */
export class Engine implements Target {
  readonly owner = new CountingOwner();
  readonly events: QuicEvent[] = [];
  readonly drops: DropReason[] = [];
  readonly #config: TransportConfig;
  readonly #observer: QuicObserver;
  readonly #slab = new DatagramSlab();
  #state: ConnectionState | undefined;
  #connection: QuicConnection | undefined;
  /** Whether events are taken at once, as a driver does. */
  polls = true;

  constructor(transport: Partial<TransportConfig> = {}) {
    // Path MTU probes would stand among the packets that tests count; they have tests of their own.
    this.#config = transportConfig({ maxDatagramSize: 1200 }, transport);
    this.#observer = { packetDropped: (reason) => this.drops.push(reason) };
  }

  get state(): ConnectionState {
    return this.#state!;
  }

  get connection(): QuicConnection {
    return this.#connection!;
  }

  #setup(now: number) {
    return {
      config: this.#config,
      random: seededRandom(5),
      observer: this.#observer,
      owner: this.owner,
      path: { local: ENGINE_ADDRESS, remote: PEER_ADDRESS },
      via: undefined,
      localId: this.owner.issue(),
      slab: this.#slab,
      now,
    };
  }

  #adopt(state: ConnectionState): void {
    this.#state = state;
    this.#connection = new QuicConnection(state, () => {});
  }

  /** Makes the connection a client whose first flight waits to be sent. */
  dial(now: number): void {
    this.#adopt(
      createClient({
        ...this.#setup(now),
        tls: { serverName: 'localhost', alpnProtocols: ['test'], trust: { kind: 'any' }, nowEpochMs: 0 },
      }),
    );
  }

  /** The first Initial makes it a server; anything else is dropped, as an endpoint does (RFC 9000 §5.2.2). */
  #accept(datagram: Datagram, now: number): void {
    const first = parsePacket(datagram.data, 0, ENGINE_ID_OCTETS);
    if (first.type !== 'initial') return;
    const keys = new ConnectionKeys('server');
    keys.setInitial(first.destinationConnectionId);
    this.#adopt(
      createServer({
        ...this.#setup(now),
        keys,
        clientSourceId: first.sourceConnectionId.slice(),
        originalDestination: first.destinationConnectionId.slice(),
        retrySourceId: undefined,
        tls: { certificates: [testCertificate], alpnProtocols: ['test'] },
      }),
    );
  }

  receive(datagram: Datagram, now: number): void {
    if (this.#connection === undefined) this.#accept(datagram, now);
    this.#connection?.receive(datagram, now);
    this.#poll();
  }

  transmit(now: number): Datagram | undefined {
    const datagram = this.#connection?.transmit(now);
    this.#poll();
    return datagram;
  }

  deadline(): number | undefined {
    return this.#connection?.deadline();
  }

  onDeadline(now: number): void {
    this.connection.onDeadline(now);
    this.#poll();
  }

  #poll(): void {
    if (!this.polls) return;
    for (let event = this.#connection?.poll(); event !== undefined; event = this.#connection?.poll())
      this.events.push(event);
  }

  eventsOf<T extends QuicEvent['type']>(type: T): Extract<QuicEvent, { type: T }>[] {
    return this.events.filter((event): event is Extract<QuicEvent, { type: T }> => event.type === type);
  }
}
