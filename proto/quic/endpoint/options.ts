import type {
  CipherSuite,
  NamedGroup,
  SessionTicket,
  TlsCertificate,
  TlsTicketOptions,
  TlsTrust,
} from '../../tls/index.ts';
import type { TransportConfig } from '../connection/config.ts';
import type { QuicConnection } from '../connection/connection.ts';
import type { DropReason, QuicObserver } from '../connection/observer.ts';
import type { PreferredAddresses } from '../connection/path/preferred-address.ts';
import type { QuicEvent } from '../events.ts';
import type { PacketCiphers } from '../protection/index.ts';
import type { Address, ConnectionIdGenerator, Datagram, RandomSource } from '../types.ts';

export interface ServerTlsOptions {
  readonly certificates: readonly TlsCertificate[];
  readonly alpnProtocols: readonly string[];
  readonly cipherSuites?: readonly CipherSuite[];
  readonly groups?: readonly NamedGroup[];
  /** Session tickets. Absent: none. Early data is never taken. */
  readonly tickets?: TlsTicketOptions;
  /** Lines of SSLKEYLOGFILE. */
  readonly keyLog?: (line: string) => void;
}

/** Sends newcomers to the endpoint that their TLS server name belongs to, by a Retry (RFC 9000 §8.1.2). */
export interface SteeringOptions {
  /**
   * Makes CIDs of the endpoint that owns `serverName`, by which the client's next packets are routed to it; `undefined` for this
   * one's own names and unknown ones, which stay here. That endpoint must have the same `statelessResetKey` as this one.
   */
  readonly ownerOf: (serverName: string) => ConnectionIdGenerator | undefined;
  /**
   * First packets in a second whose server name is read, which comes before the address is proved and costs
   * some six hashes and a decryption; half of them may come at once. Beyond it newcomers are answered as without steering. Default: no bound.
   */
  readonly peeksPerSecond?: number;
}

export interface ServerOptions {
  readonly tls: ServerTlsOptions;
  /** Absent: whatever the server name, newcomers are accepted here. */
  readonly steering?: SteeringOptions;
  /**
   * Whether this first packet must prove its address with a Retry before it costs state (RFC 9000 §8.1.2).
   * Besides this, an endpoint asks by itself once `maxHalfOpen` is reached.
   */
  readonly requireRetry?: (remote: Address, halfOpen: number) => boolean;
  /** Connections whose handshake is not done, beyond which newcomers get a Retry. Default 256. */
  readonly maxHalfOpen?: number;
  /**
   * Handshakes in a second that may begin before their client has proved its address; beyond it newcomers get a Retry, which
   * costs a fiftieth. Half of them may come at once. Default: no bound.
   */
  readonly unprovenPerSecond?: number;
  /**
   * First packets that are looked at before connections have their turn again, that is between two calls of `onDeadline`; a
   * handshake that begins counts as 16. The rest waits, up to 1024 of them and 2 MiB; `deadline` says so. Default: no bound.
   */
  readonly newcomersPerTurn?: number;
  /** Connections of one network (an IPv4 address, an IPv6 /64), beyond which its newcomers are refused. Default: no bound. */
  readonly maxConnectionsPerAddress?: number;
  /** Half-open ones of one network with no address proved, beyond which its newcomers get a Retry. Default 64. */
  readonly maxHalfOpenPerAddress?: number;
  /** Connections of all kinds, beyond which newcomers are refused. Default 10 000. */
  readonly maxConnections?: number;
  /**
   * Asked when a limit would refuse a newcomer that has proved its address: whether the owner has closed a connection for it, of the
   * same network (`address`) or any (`total`). Default: no.
   */
  readonly makeRoom?: (limit: 'address' | 'total', remote: Address) => boolean;
  /**
   * Where clients are asked to go after the handshake (RFC 9000 §9.6): an address of this very process, past anycast and
   * forwarders. Its socket must feed this endpoint.
   */
  readonly preferredAddress?: PreferredAddresses;
}

export interface EndpointOptions {
  readonly random: RandomSource;
  readonly connectionIdGenerator: ConnectionIdGenerator;
  /** 32 octets shared by the cluster: any backend can reset any other's connection (RFC 9000 §10.3.2). Random when absent. */
  readonly statelessResetKey?: Uint8Array;
  /**
   * Whether a Stateless Reset may answer this datagram, whose CID leads to no connection here. With a shared key it must
   * not while another endpoint may have that connection: an observer of its CID could end its call (RFC 9000 §21.11). Default: always.
   */
  readonly mayReset?: (connectionId: Uint8Array, datagram: Datagram) => boolean;
  /** Absent: connections are only dialled, never taken. */
  readonly server?: ServerOptions;
  readonly transport?: Partial<TransportConfig>;
  /** False: no new connection and no Version Negotiation, for draining. Settable on the endpoint. Default true. */
  readonly acceptNew?: boolean;
  /**
   * The wall clock, in milliseconds since 1970: Retry tokens are dated by it, as other endpoints with the same `statelessResetKey`
   * take them too. Absent: the times that are passed as `now`, for an endpoint whose tokens come back to itself.
   */
  readonly wallClockMs?: () => number;
  /** Wall-clock time at start, for the validity of certificates when dialling. Milliseconds since 1970. */
  readonly wallClockEpochMs?: number;
  readonly observer?: QuicObserver;
  /** Ciphers of Handshake and 1-RTT packets, when there are better ones than `node:crypto`'s. */
  readonly ciphers?: PacketCiphers;
  /**
   * A datagram that `transmit` gives is valid until the next call alone, as its owner copies it. Memory of its own for each is a megabyte
   * a second for the garbage collector with twenty calls. Default: each stays as it is.
   */
  readonly reuseDatagramMemory?: boolean;
}

export interface ConnectOptions {
  readonly remote: Address;
  /** Default: host '0.0.0.0', port 0. What is sent carries it as `path.local`. */
  readonly local?: Address;
  readonly serverName: string;
  readonly alpnProtocols: readonly string[];
  readonly trust: TlsTrust;
  readonly cipherSuites?: readonly CipherSuite[];
  readonly groups?: readonly NamedGroup[];
  readonly keyShareGroups?: readonly NamedGroup[];
  /** Takes session tickets, each good for one later connection. */
  readonly onTicket?: (ticket: SessionTicket) => void;
  /** A session to resume. */
  readonly session?: SessionTicket;
  readonly keyLog?: (line: string) => void;
  readonly transport?: Partial<TransportConfig>;
  readonly observer?: QuicObserver;
  /** Overrides the endpoint's. */
  readonly wallClockEpochMs?: number;
}

export type EndpointEvent =
  /** A client's first packet made a connection. Its own events follow. */
  | { readonly type: 'incoming'; readonly connection: QuicConnection }
  | { readonly type: 'event'; readonly connection: QuicConnection; readonly event: QuicEvent };

export interface EndpointStats {
  readonly connections: number;
  readonly halfOpen: number;
  readonly datagramsReceived: number;
  readonly datagramsSent: number;
  readonly connectionsAccepted: number;
  readonly versionNegotiationsSent: number;
  readonly retriesSent: number;
  /** Those of them that sent a client to another endpoint. */
  readonly steeredRetriesSent: number;
  /** Connections whose client was sent here by another endpoint, or came here since the one it was sent to is gone. */
  readonly steeredAccepted: number;
  /** Clients whose server name was not read: the rest of it did not come in time, or too many were being read. */
  readonly peeksDropped: number;
  readonly statelessResetsSent: number;
  /** Datagrams dropped before any connection saw them, and packets that connections dropped, by reason. */
  readonly dropped: Readonly<Partial<Record<DropReason, number>>>;
}
