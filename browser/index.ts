/** Parley in the browser: a voice call over WebTransport, with no framework. */
export type { AnswerCounters, Position } from './answer-log.ts';
export type { WorkletUrls } from './audio-engine.ts';
export { Call, connect } from './call.ts';
export type { CallEnd, CallEvents, CallOptions, CallState, CallStats } from './call-types.ts';
export { CallError, type CallErrorCode } from './errors.ts';
export { unsupported } from './session.ts';
