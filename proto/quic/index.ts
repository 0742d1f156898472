export type { SessionTicket } from '../tls/index.ts';
export { DEFAULT_TRANSPORT_CONFIG, type TransportConfig } from './connection/config.ts';
export { QuicConnection } from './connection/connection.ts';
export type { QuicMemory } from './connection/memory.ts';
export {
  combineObservers,
  type DropReason,
  type ObservedConnection,
  type QuicObserver,
  type RecoveryFigures,
  type SpaceName,
} from './connection/observer.ts';
export { QuicEndpoint } from './endpoint/endpoint.ts';
export type {
  ConnectOptions,
  EndpointEvent,
  EndpointOptions,
  EndpointStats,
  ServerOptions,
  ServerTlsOptions,
  SteeringOptions,
} from './endpoint/options.ts';
export { type CloseReason, TransportError, TransportErrorCode, UsageError } from './errors.ts';
export type { QuicEvent, QuicStats, QuicTransport } from './events.ts';
export type { FlowFrame, Frame } from './frames/index.ts';
export {
  type Aead,
  type AeadName,
  type HeaderProtection,
  NODE_CIPHERS,
  type PacketCiphers,
} from './protection/index.ts';
export type { TransportParameters } from './transport-parameters.ts';
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
