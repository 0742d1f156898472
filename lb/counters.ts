import { SEND_FAILURES, type SendFailure } from '../net/udp/index.ts';
import { ROTATIONS, type UnroutableReason } from '../proto/quic-lb/index.ts';
import { CLIENT_DROPS, type ClientDrop } from './route.ts';

/** Why a packet on the tunnel side goes nowhere. */
export const BACKEND_DROPS = ['notBackend', 'notSpp', 'badTag', 'badClient'] as const;
export type BackendDrop = (typeof BACKEND_DROPS)[number];

const UNROUTABLE_REASONS: readonly UnroutableReason[] = ['rotation', 'tooShort', 'length', 'serverId'];

const zeros = <Key extends string>(keys: readonly Key[]): Record<Key, number> =>
  Object.fromEntries(keys.map((key) => [key, 0])) as Record<Key, number>;

/** Why a forwarder ends a TCP connection, or takes none. */
export const TCP_ENDS = ['full', 'addressFull', 'noOctets', 'idle', 'noBackend', 'failed'] as const;
export type TcpEnd = (typeof TCP_ENDS)[number];

/** What is counted of TCP connections. */
export interface TcpCounters {
  accepted: number;
  /** Ended by the forwarder, by why; those that client or backend ended are not among them. */
  readonly ended: Record<TcpEnd, number>;
  toBackendsOctets: number;
  toClientsOctets: number;
}

/** Counts of one backend, in packets unless named otherwise. They outlive a reload. */
export interface BackendCounters {
  /** Sent to it because the CID names it. */
  byCid: number;
  /** Sent to it by the hash, by why the CID is unroutable. */
  readonly byHash: Record<UnroutableReason, number>;
  /** Sent to it in place of a dead backend. */
  forDead: number;
  /** Named by the CID while it was dead. */
  whileDead: number;
  /** Sent to clients on its behalf. */
  toClients: number;
  toClientsOctets: number;
  toBackendOctets: number;
  probesSent: number;
  probesAnswered: number;
  /** TCP connections that were opened to it, and those that it did not take. */
  tcpConnections: number;
  tcpFailures: number;
  /** Those of `tcpConnections` that asked for it by its name. */
  tcpSteered: number;
}

/** All that the forwarder counts: one number per branch that a packet can take. */
export class Counters {
  readonly droppedFromClients: Record<ClientDrop, number> = zeros(CLIENT_DROPS);
  readonly droppedFromBackends: Record<BackendDrop, number> = zeros(BACKEND_DROPS);
  readonly sendFailures: Record<SendFailure, number> = zeros(SEND_FAILURES);
  readonly tcp: TcpCounters = {
    accepted: 0,
    ended: zeros(TCP_ENDS),
    toBackendsOctets: 0,
    toClientsOctets: 0,
  };
  fromClients = 0;
  /** Datagrams above `MAX_DATAGRAM_OCTETS`, from either side. */
  oversize = 0;
  /** Batches that sockets handed over: all that came, divided by this, says how many packets are handled at once. */
  batches = 0;
  reloads = 0;
  reloadFaults = 0;
  /** Times that a host name of the cluster file had no address. */
  nameSilences = 0;
  /** Packets whose CID named a backend, by config rotation. */
  readonly routedByRotation = new Float64Array(ROTATIONS);
  readonly backends = new Map<string, BackendCounters>();

  backend(name: string): BackendCounters {
    let counters = this.backends.get(name);
    if (counters === undefined) {
      counters = {
        byCid: 0,
        byHash: zeros(UNROUTABLE_REASONS),
        forDead: 0,
        whileDead: 0,
        toClients: 0,
        toClientsOctets: 0,
        toBackendOctets: 0,
        probesSent: 0,
        probesAnswered: 0,
        tcpConnections: 0,
        tcpFailures: 0,
        tcpSteered: 0,
      };
      this.backends.set(name, counters);
    }
    return counters;
  }
}
