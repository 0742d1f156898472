import type { QuicConnection } from '../connection/connection.ts';
import type { Datagram } from '../types.ts';
import type { ConnectOptions, EndpointEvent, EndpointOptions, EndpointStats } from './options.ts';

/** Signatures for neighbours; the implementation replaces this file. */
export declare class QuicEndpoint {
  /** False stops new connections and Version Negotiation: draining. */
  acceptNew: boolean;
  constructor(options: EndpointOptions);
  connect(options: ConnectOptions, now: number): QuicConnection;
  receive(datagram: Datagram, now: number): void;
  transmit(now: number): Datagram | undefined;
  deadline(): number | undefined;
  onDeadline(now: number): void;
  poll(): EndpointEvent | undefined;
  connections(): Iterable<QuicConnection>;
  stats(): EndpointStats;
}
