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
