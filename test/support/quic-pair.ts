import {
  type Address,
  type ConnectOptions,
  type Datagram,
  type EndpointEvent,
  type EndpointOptions,
  type QuicConnection,
  QuicEndpoint,
  type QuicEvent,
  type ServerOptions,
  sameAddress,
  type TransportConfig,
} from '../../proto/quic/index.ts';
import { TEST_CIPHERS } from './ciphers.ts';
import { randomConnectionIds, seededNumbers, seededRandom, testCertificate } from './quic-fixtures.ts';

export const SERVER_ADDRESS: Address = { host: '10.0.0.1', port: 4433 };
export const CLIENT_ADDRESS: Address = { host: '192.168.0.2', port: 5000 };

export type Direction = 'toServer' | 'toClient';

export interface PairOptions {
  readonly seed?: number;
  /** One way, in milliseconds. Default 10. */
  readonly delayMs?: number;
  /** Up to this much more, at random: reorders. Default 0. */
  readonly jitterMs?: number;
  /** Share of datagrams lost, 0 to 1. */
  readonly loss?: { readonly toServer?: number; readonly toClient?: number };
  readonly clientTransport?: Partial<TransportConfig>;
  readonly serverTransport?: Partial<TransportConfig>;
  readonly server?: Partial<ServerOptions>;
  readonly clientOptions?: Partial<EndpointOptions>;
  readonly serverOptions?: Partial<EndpointOptions>;
  /** Sees every datagram as it is sent; what it returns goes on, `undefined` is lost. */
  readonly tap?: (
    direction: Direction,
    data: Uint8Array,
    index: number,
    now: number,
  ) => Uint8Array | undefined;
}

const keyOf = (address: Address): string => `${address.host} ${address.port}`;

interface InFlight {
  readonly at: number;
  readonly order: number;
  readonly direction: Direction;
  readonly datagram: Datagram;
}

/** Steps of a run beyond which something spins. */
const MAX_STEPS = 200_000;

/**
 * A client endpoint and a server endpoint over a simulated network with a virtual clock, which jumps to the next time at
 * which something happens. One seed replays a run.
 */
export class QuicPair {
  now = 1000;
  readonly client: QuicEndpoint;
  readonly server: QuicEndpoint;
  /** Events by connection, in order, all of them. */
  readonly events = new Map<QuicConnection, QuicEvent[]>();
  readonly accepted: QuicConnection[] = [];
  /** Called for every event of either side, after it was noted. */
  onEvent: (connection: QuicConnection, event: QuicEvent) => void = () => {};
  /** The client's address as the server sees it, by the local address of the client. */
  readonly #translation = new Map<string, Address>();
  /** Local addresses that the client has sent from: anything else leads nowhere. */
  readonly #inside = new Set<string>();
  readonly #options: PairOptions;
  readonly #numbers: () => number;
  readonly #network: InFlight[] = [];
  readonly counts = { toServer: 0, toClient: 0 };
  readonly octets = { toServer: 0, toClient: 0 };
  loss: { toServer: number; toClient: number };
  /** The forwarder stamped on datagrams to the server. */
  via: Address | undefined;
  #order = 0;

  constructor(options: PairOptions = {}) {
    const seed = options.seed ?? 1;
    this.#options = options;
    this.#numbers = seededNumbers(seed * 7919 + 1);
    this.loss = { toServer: options.loss?.toServer ?? 0, toClient: options.loss?.toClient ?? 0 };
    const clientRandom = seededRandom(seed * 2 + 1);
    const serverRandom = seededRandom(seed * 2 + 2);
    this.client = new QuicEndpoint({
      ciphers: TEST_CIPHERS,
      random: clientRandom,
      connectionIdGenerator: randomConnectionIds(clientRandom),
      ...(options.clientTransport && { transport: options.clientTransport }),
      ...options.clientOptions,
    });
    this.server = new QuicEndpoint({
      ciphers: TEST_CIPHERS,
      random: serverRandom,
      connectionIdGenerator: randomConnectionIds(serverRandom, 10),
      server: { tls: { certificates: [testCertificate], alpnProtocols: ['test'] }, ...options.server },
      ...(options.serverTransport && { transport: options.serverTransport }),
      ...options.serverOptions,
    });
  }

  connect(options: Partial<ConnectOptions> = {}): QuicConnection {
    return this.client.connect(
      {
        remote: SERVER_ADDRESS,
        local: CLIENT_ADDRESS,
        serverName: 'localhost',
        alpnProtocols: ['test'],
        trust: { kind: 'any' },
        ...options,
      },
      this.now,
    );
  }

  /** Connects and runs until both sides have confirmed the handshake. */
  establish(options: Partial<ConnectOptions> = {}): { client: QuicConnection; server: QuicConnection } {
    const client = this.connect(options);
    const before = this.accepted.length;
    const done = this.run(() => {
      const server = this.accepted[before];
      return server !== undefined && this.has(server, 'connected') && this.has(client, 'handshakeConfirmed');
    });
    if (!done) throw new Error('the handshake did not complete');
    return { client, server: this.accepted[before]! };
  }

  eventsOf<T extends QuicEvent['type']>(
    connection: QuicConnection,
    type: T,
  ): Extract<QuicEvent, { type: T }>[] {
    const events = this.events.get(connection) ?? [];
    return events.filter((event): event is Extract<QuicEvent, { type: T }> => event.type === type);
  }

  has(connection: QuicConnection, type: QuicEvent['type']): boolean {
    return this.eventsOf(connection, type).length > 0;
  }

  /** From now on the network gives the client at `local` another outside address; the old one leads nowhere. */
  translate(local: Address, outside: Address): void {
    this.#translation.set(keyOf(local), outside);
  }

  outside(local: Address): Address {
    return this.#translation.get(keyOf(local)) ?? local;
  }

  /** Runs until the condition holds (true), the time is over or nothing is left to happen (false). */
  run(until: () => boolean = () => false, forMs = 60_000): boolean {
    const end = this.now + forMs;
    for (let step = 0; step < MAX_STEPS; step++) {
      this.#settle();
      if (until()) return true;
      const next = this.#nextTime();
      if (next === undefined || next > end) {
        this.now = Math.max(this.now, next === undefined ? this.now : end);
        return false;
      }
      this.now = Math.max(this.now, next);
      this.#deliver();
      for (const endpoint of [this.client, this.server])
        if ((endpoint.deadline() ?? Number.POSITIVE_INFINITY) <= this.now) endpoint.onDeadline(this.now);
    }
    throw new Error(`more than ${MAX_STEPS} steps: something spins at ${this.now}`);
  }

  /** Polls and sends until neither side has anything to do now. */
  #settle(): void {
    for (let busy = true; busy; ) {
      busy = false;
      for (const endpoint of [this.client, this.server]) {
        for (let event = endpoint.poll(); event !== undefined; event = endpoint.poll()) {
          busy = true;
          this.#note(event);
        }
        for (let sent = endpoint.transmit(this.now); sent !== undefined; sent = endpoint.transmit(this.now)) {
          busy = true;
          this.#send(endpoint === this.client ? 'toServer' : 'toClient', sent);
        }
      }
    }
  }

  #note(event: EndpointEvent): void {
    if (event.type === 'incoming') {
      this.accepted.push(event.connection);
      return;
    }
    const list = this.events.get(event.connection) ?? [];
    this.events.set(event.connection, list);
    list.push(event.event);
    this.onEvent(event.connection, event.event);
  }

  #send(direction: Direction, datagram: Datagram): void {
    const index = this.counts[direction]++;
    this.octets[direction] += datagram.data.length;
    if (direction === 'toServer') this.#inside.add(keyOf(datagram.path.local));
    const lost = this.#numbers() < this.loss[direction];
    const { tap, delayMs = 10, jitterMs = 0 } = this.#options;
    const data = tap ? tap(direction, datagram.data, index, this.now) : datagram.data;
    if (lost || data === undefined) return;
    this.inject(direction, { ...datagram, data }, delayMs + this.#numbers() * jitterMs);
  }

  /** Puts a datagram on the network as its sender addressed it. */
  inject(direction: Direction, datagram: Datagram, delayMs = this.#options.delayMs ?? 10): void {
    const inFlight = { at: this.now + delayMs, order: this.#order++, direction, datagram };
    let at = this.#network.length;
    while (at > 0 && this.#network[at - 1]!.at > inFlight.at) at -= 1;
    this.#network.splice(at, 0, inFlight);
  }

  #nextTime(): number | undefined {
    const times = [this.#network[0]?.at, this.client.deadline(), this.server.deadline()];
    const known = times.filter((time): time is number => time !== undefined);
    return known.length === 0 ? undefined : Math.min(...known);
  }

  #deliver(): void {
    while (this.#network.length > 0 && this.#network[0]!.at <= this.now) {
      const { direction, datagram } = this.#network.shift()!;
      const { data, path } = datagram;
      if (direction === 'toServer') {
        const received = { data, path: { local: path.remote, remote: this.outside(path.local) } };
        this.server.receive(this.via ? { ...received, via: this.via } : received, this.now);
        continue;
      }
      const local = this.#insideOf(path.remote);
      if (local !== undefined) this.client.receive({ data, path: { local, remote: path.local } }, this.now);
    }
  }

  /** The client's own address behind an outside one; `undefined` once the network forgot it. */
  #insideOf(outside: Address): Address | undefined {
    for (const [key, address] of this.#translation) {
      if (!sameAddress(address, outside)) continue;
      const [host, port] = key.split(' ');
      return { host: host!, port: Number(port) };
    }
    const key = keyOf(outside);
    return this.#inside.has(key) && !this.#translation.has(key) ? outside : undefined;
  }
}
