export { DEFAULT_TRANSPORT_CONFIG, type TransportConfig } from './connection/config.ts';
export { QuicConnection } from './connection/connection.ts';
export type { DropReason, QuicObserver, SpaceName } from './connection/observer.ts';
export { QuicEndpoint } from './endpoint/endpoint.ts';
export type {
  ConnectOptions,
  EndpointEvent,
  EndpointOptions,
  EndpointStats,
  ServerOptions,
  ServerTlsOptions,
} from './endpoint/options.ts';
export { type CloseReason, TransportError, TransportErrorCode, UsageError } from './errors.ts';
export type { QuicEvent, QuicStats, QuicTransport } from './events.ts';
export {
  type Address,
  type ConnectionIdGenerator,
  type Datagram,
  formatAddress,
  type Path,
  type RandomSource,
  type StreamDirection,
  sameAddress,
  samePath,
} from './types.ts';
