export {
  type HostHandlers,
  type PlainRequest,
  type PlainResponse,
  type SessionDecision,
  WebTransportHost,
} from './host.ts';
export { CLIENT_STREAM_LIMITS } from './limits.ts';
export {
  type SessionRequest,
  StreamError,
  type WebTransportSession,
} from './types.ts';
