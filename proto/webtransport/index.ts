export { fromHttpCode, toHttpCode, WebTransportErrorCode } from './codes.ts';
export { WebTransportConnection, type WebTransportOptions } from './connection.ts';
export type { UnreadStream, WebTransportEvent } from './events.ts';
export type { OutgoingRequest } from './plain-requests.ts';
export type { SessionTarget } from './session.ts';
