import { Queue } from '../../wire/index.ts';
import type { TransportConfig } from '../connection/config.ts';
import { QuicConnection } from '../connection/connection.ts';
import { createClient, createServer, transportConfig } from '../connection/create.ts';
import { combineObservers, type DropReason, NO_OBSERVER, type QuicObserver } from '../connection/observer.ts';
import { DatagramSlab } from '../connection/send/datagram-slab.ts';
import type { ConnectionState } from '../connection/state.ts';
import { UsageError } from '../errors.ts';
import {
  type LongPacket,
  MIN_INITIAL_DATAGRAM_OCTETS,
  MIN_RESET_OCTETS,
  type ParsedPacket,
  parsePacket,
  RESET_TOKEN_OCTETS,
} from '../packet/index.ts';
import type { Address, ConnectionIdGenerator, Datagram, RandomSource } from '../types.ts';
import { type AcceptDecision, Acceptor, type Load } from './acceptor.ts';
import { AddressLoad } from './address-load.ts';
import { ConnectionTable } from './connection-table.ts';
import { ConnectionEntry, type EntryHost } from './entry.ts';
import { ACCEPT_UNITS, Newcomers } from './newcomers.ts';
import type { ConnectOptions, EndpointEvent, EndpointOptions, EndpointStats } from './options.ts';
import { ConnectionSchedule } from './schedule.ts';
import { StatelessSender } from './stateless.ts';

const FIXED_BIT = 0x40;
const UNKNOWN_ADDRESS: Address = Object.freeze({ host: '0.0.0.0', port: 0 });

/**
 * Many connections over one socket: leads datagrams to them by CID, takes newcomers, and answers what belongs to none by
 * Version Negotiation, Retry or Stateless Reset. The same five calls as a connection; work is done only for connections
 * that something happened to.
 */
export class QuicEndpoint {
  /** False stops new connections and Version Negotiation: draining. */
  acceptNew: boolean;
  readonly #options: EndpointOptions;
  readonly #random: RandomSource;
  readonly #generator: ConnectionIdGenerator;
  readonly #config: TransportConfig;
  readonly #observer: QuicObserver;
  readonly #table: ConnectionTable;
  readonly #acceptor: Acceptor | undefined;
  readonly #stateless: StatelessSender;
  readonly #entries = new Set<ConnectionEntry>();
  readonly #schedule = new ConnectionSchedule({
    onClosed: (entry) => this.#onClosed(entry),
    onFinished: (entry) => this.#onFinished(entry),
  });
  readonly #incoming = new Queue<QuicConnection>();
  readonly #slab: DatagramSlab;
  readonly #dropped: Partial<Record<DropReason, number>> = {};
  readonly #host: EntryHost;
  readonly #addresses = new AddressLoad();
  readonly #newcomers: Newcomers;
  #halfOpen = 0;
  /** Entries that are closing: they keep no newcomer out. */
  #closing = 0;
  #datagramsReceived = 0;
  #datagramsSent = 0;
  #accepted = 0;
  #steeredAccepted = 0;

  /** Throws `UsageError` for options that cannot work. */
  constructor(options: EndpointOptions) {
    const { random, connectionIdGenerator, statelessResetKey, server } = options;
    this.#slab = new DatagramSlab(options.reuseDatagramMemory);
    if (connectionIdGenerator.length < 1 || connectionIdGenerator.length > 20)
      throw new UsageError(
        `connection IDs of ${connectionIdGenerator.length} octets; they must have 1 to 20`,
      );
    this.#options = options;
    this.#random = random;
    this.#generator = connectionIdGenerator;
    this.#config = transportConfig(options.transport);
    this.#observer = this.#counting(options.observer ?? NO_OBSERVER);
    this.#table = new ConnectionTable(connectionIdGenerator, statelessResetKey ?? random(32), random);
    this.#stateless = new StatelessSender(random);
    this.#acceptor =
      server &&
      new Acceptor({
        server,
        random,
        connectionIds: connectionIdGenerator,
        clusterKey: statelessResetKey,
        wallClockMs: options.wallClockMs,
      });
    this.#newcomers = new Newcomers(server?.newcomersPerTurn ?? Number.POSITIVE_INFINITY);
    this.acceptNew = options.acceptNew ?? true;
    this.#host = {
      issueConnectionId: (entry) => this.#table.issue(entry),
      resetToken: (connectionId) => this.#table.resetToken(connectionId),
      releaseConnectionId: (id) => this.#table.remove(id),
      watchToken: (token, entry) => this.#table.watchToken(token, entry),
      unwatchToken: (token) => this.#table.unwatchToken(token),
      onHandshakeDone: (entry) => this.#onHandshakeDone(entry),
    };
  }

  /** An observer that also counts what connections drop. */
  #counting(observer: QuicObserver): QuicObserver {
    return combineObservers(observer, {
      packetDropped: (reason) => {
        this.#dropped[reason] = (this.#dropped[reason] ?? 0) + 1;
      },
    });
  }

  /**
   * Dials. Take the connection's first flight with `transmit`. Throws `UsageError` for a configuration that cannot work.
   */
  connect(options: ConnectOptions, now: number): QuicConnection {
    const entry = new ConnectionEntry(this.#host);
    const { remote, local = UNKNOWN_ADDRESS, serverName, alpnProtocols, trust } = options;
    const observer = options.observer === undefined ? this.#observer : this.#counting(options.observer);
    const state = createClient({
      config:
        options.transport === undefined
          ? this.#config
          : transportConfig(this.#options.transport, options.transport),
      random: this.#random,
      observer,
      owner: entry,
      path: { local, remote },
      via: undefined,
      ciphers: this.#options.ciphers,
      localId: this.#table.issue(entry),
      slab: this.#slab,
      now,
      tls: {
        serverName,
        alpnProtocols,
        trust,
        nowEpochMs: options.wallClockEpochMs ?? this.#options.wallClockEpochMs ?? 0,
        cipherSuites: options.cipherSuites,
        groups: options.groups,
        keyShareGroups: options.keyShareGroups,
        onTicket: options.onTicket,
        session: options.session,
        keyLog: options.keyLog ?? observer.keyLog,
      },
    });
    return this.#adopt(entry, state);
  }

  #adopt(entry: ConnectionEntry, state: ConnectionState): QuicConnection {
    entry.connection = new QuicConnection(state, () => this.#schedule.activate(entry));
    this.#entries.add(entry);
    this.#schedule.activate(entry);
    return entry.connection;
  }

  /** Takes one datagram from the socket. Never throws, whatever it holds. Its memory may be used again when this returns. */
  receive(datagram: Datagram, now: number): void {
    this.#datagramsReceived += 1;
    this.#receive(datagram, now, false);
  }

  /** `isHeld`: it is a newcomer's and has waited for its turn. */
  #receive(datagram: Datagram, now: number, isHeld: boolean): void {
    const { data } = datagram;
    if (data.length === 0) {
      this.#drop('too-short', 0, now);
      return;
    }
    const packet = parsePacket(data, 0, this.#generator.length, this.#config.greaseQuicBit);
    if (packet.type === 'drop') {
      this.#drop(packet.reason === 'truncated' ? 'too-short' : 'malformed-header', data.length, now);
      return;
    }
    const entry = this.#table.find(packet.destinationConnectionId);
    if (entry !== undefined && packet.type !== 'unknownVersion') {
      entry.connection.receive(datagram, now, packet);
      return;
    }
    this.#receiveUnmatched(datagram, packet, now, isHeld);
  }

  /** A datagram that no connection owns. */
  #receiveUnmatched(
    datagram: Datagram,
    packet: Exclude<ParsedPacket, { type: 'drop' }>,
    now: number,
    isHeld: boolean,
  ): void {
    const octets = datagram.data.length;
    switch (packet.type) {
      case 'unknownVersion':
        this.#negotiate(datagram, packet, now);
        return;
      case 'oneRtt':
        this.#receiveUnknownShort(datagram, packet.destinationConnectionId, now);
        return;
      case 'initial':
        // RFC 9287 §3.1: only a peer that has our transport parameters may clear the Fixed Bit, and we give no NEW_TOKEN to keep them.
        if ((datagram.data[0]! & FIXED_BIT) === 0) {
          this.#drop('malformed-header', octets, now);
          return;
        }
        if (this.#acceptor === undefined) {
          this.#drop('not-accepting', octets, now);
          return;
        }
        if (isHeld || !this.#newcomers.mustWait) this.#receiveFirst(datagram, packet, this.#acceptor, now);
        else if (!this.#newcomers.hold(datagram, now)) this.#drop('limit', octets, now);
        return;
      default:
        this.#drop('unknown-connection', octets, now);
        return;
    }
  }

  /** RFC 9000 §6.1; it is also how forwarders ask whether this backend lives. */
  #negotiate(
    datagram: Datagram,
    ids: { destinationConnectionId: Uint8Array; sourceConnectionId: Uint8Array },
    now: number,
  ): void {
    const octets = datagram.data.length;
    if (this.#acceptor === undefined || !this.acceptNew) {
      this.#drop('not-accepting', octets, now);
      return;
    }
    if (octets < MIN_INITIAL_DATAGRAM_OCTETS || !this.#stateless.versionNegotiation(datagram, ids))
      this.#drop('unsupported-version', octets, now);
  }

  /** A short header of an unknown CID: the peer's Stateless Reset, or a packet that deserves one of ours. */
  #receiveUnknownShort(datagram: Datagram, connectionId: Uint8Array, now: number): void {
    const { data } = datagram;
    if (data.length >= MIN_RESET_OCTETS) {
      const entry = this.#table.findByToken(data.subarray(data.length - RESET_TOKEN_OCTETS));
      if (entry !== undefined) {
        entry.connection.onStatelessReset(now);
        return;
      }
    }
    if (this.#options.mayReset?.(connectionId, datagram) ?? true)
      this.#stateless.statelessReset(datagram, this.#table.resetToken(connectionId), now);
    this.#drop('unknown-connection', data.length, now);
  }

  #receiveFirst(datagram: Datagram, packet: LongPacket, acceptor: Acceptor, now: number): void {
    const decision = this.acceptNew
      ? acceptor.decide(datagram, packet, this.#load(), now)
      : acceptor.decideClosed(datagram, packet, now);
    this.#newcomers.spend(decision.type === 'accept' ? ACCEPT_UNITS : 1);
    switch (decision.type) {
      case 'hold':
        return;
      case 'accept':
        this.#accept(datagram, packet, decision, now);
        return;
      case 'retry':
        if (this.#stateless.retry(datagram, decision.packet, decision.steered)) return;
        this.#drop('limit', datagram.data.length, now);
        return;
      case 'refuse':
        this.#stateless.refuse(datagram, decision.packet);
        this.#drop(decision.reason, datagram.data.length, now);
        return;
      case 'drop':
        this.#drop(decision.reason, datagram.data.length, now);
    }
  }

  #load(): Load {
    return {
      connections: this.#entries.size - this.#closing,
      halfOpen: this.#halfOpen,
      addresses: this.#addresses,
    };
  }

  #accept(
    datagram: Datagram,
    packet: LongPacket,
    decision: Extract<AcceptDecision, { type: 'accept' }>,
    now: number,
  ): void {
    if (this.#options.ciphers !== undefined) decision.keys.setCiphers(this.#options.ciphers);
    const entry = new ConnectionEntry(this.#host);
    const { tls } = this.#options.server!;
    const state = createServer({
      config: this.#config,
      random: this.#random,
      observer: this.#observer,
      owner: entry,
      path: datagram.path,
      via: datagram.via,
      localId: this.#table.issue(entry),
      slab: this.#slab,
      now,
      keys: decision.keys,
      clientSourceId: packet.sourceConnectionId.slice(),
      originalDestination: decision.originalDestination,
      retrySourceId: decision.retrySourceId,
      preferredAddress: this.#options.server?.preferredAddress,
      tls: { ...tls, keyLog: tls.keyLog ?? this.#observer.keyLog },
    });
    // The destination of its first packets: what it made up, or what a Retry gave it.
    entry.initialDestination = decision.retrySourceId ?? decision.originalDestination;
    this.#table.add(entry.initialDestination, entry);
    entry.halfOpen = true;
    entry.counted = this.#addresses.add(datagram.path.remote.host, decision.proven);
    this.#halfOpen += 1;
    this.#accepted += 1;
    if (decision.steered) this.#steeredAccepted += 1;
    this.#incoming.push(this.#adopt(entry, state));
    for (const earlier of decision.earlier) entry.connection.receive(earlier, now);
    entry.connection.receive(datagram, now);
  }

  #onHandshakeDone(entry: ConnectionEntry): void {
    if (entry.halfOpen) this.#halfOpen -= 1;
    entry.halfOpen = false;
    if (entry.counted !== undefined) this.#addresses.prove(entry.counted);
  }

  /** A connection has ended: it stays for its closing period (RFC 9000 §10.2), but takes no newcomer's place. */
  #onClosed(entry: ConnectionEntry): void {
    this.#onHandshakeDone(entry);
    if (entry.counted === undefined) return;
    this.#addresses.remove(entry.counted);
    entry.counted = undefined;
    this.#closing += 1;
    entry.closing = true;
  }

  /** The next datagram for the socket, `undefined` when there is none now. Connections take turns. */
  transmit(now: number): Datagram | undefined {
    const datagram = this.#stateless.take() ?? this.#schedule.transmit(now);
    if (datagram !== undefined) this.#datagramsSent += 1;
    return datagram;
  }

  #onFinished(entry: ConnectionEntry): void {
    this.#onClosed(entry);
    if (entry.closing) this.#closing -= 1;
    if (entry.initialDestination !== undefined) this.#table.remove(entry.initialDestination);
    this.#entries.delete(entry);
    entry.connection.dispose();
  }

  /** When to call `onDeadline` next; `undefined` when nothing is scheduled. A pure read. */
  deadline(): number | undefined {
    const earliest = Math.min(
      this.#schedule.deadline() ?? Number.POSITIVE_INFINITY,
      this.#acceptor?.steering?.deadline ?? Number.POSITIVE_INFINITY,
      this.#newcomers.deadline ?? Number.POSITIVE_INFINITY,
    );
    return earliest === Number.POSITIVE_INFINITY ? undefined : earliest;
  }

  /** Does what is due. Then call `transmit` and `poll`. */
  onDeadline(now: number): void {
    this.#acceptor?.steering?.expire(now);
    this.#schedule.onDeadline(now);
    this.#newcomers.startTurn();
    for (let first = this.#newcomers.take(); first !== undefined; first = this.#newcomers.take())
      this.#receive(first, now, true);
  }

  /** The next event, `undefined` when there is none now. */
  poll(): EndpointEvent | undefined {
    const connection = this.#incoming.shift();
    return connection === undefined ? this.#schedule.poll() : { type: 'incoming', connection };
  }

  /** All connections that are not forgotten yet, closing ones among them. */
  *connections(): Iterable<QuicConnection> {
    for (const entry of this.#entries) yield entry.connection;
  }

  stats(): EndpointStats {
    return {
      connections: this.#entries.size,
      halfOpen: this.#halfOpen,
      datagramsReceived: this.#datagramsReceived,
      datagramsSent: this.#datagramsSent,
      connectionsAccepted: this.#accepted,
      versionNegotiationsSent: this.#stateless.versionNegotiations,
      retriesSent: this.#stateless.retries,
      steeredRetriesSent: this.#stateless.steeredRetries,
      steeredAccepted: this.#steeredAccepted,
      peeksDropped: this.#acceptor?.steering?.dropped ?? 0,
      statelessResetsSent: this.#stateless.resets,
      dropped: { ...this.#dropped },
    };
  }

  #drop(reason: DropReason, octets: number, now: number): void {
    this.#observer.packetDropped?.(reason, octets, now);
  }
}
