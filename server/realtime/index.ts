export { appendText, sendAudio } from './append-frames.ts';
export { audioOf } from './audio-delta.ts';
export { DeferredUpstream } from './deferred-upstream.ts';
export { azureRouteProblem } from './dial.ts';
export { formatProblem } from './formats.ts';
export { type OddEvent, openUpstream, type UpstreamConfig } from './openai.ts';
export { SocketUpstream, type WebSocketLike } from './socket-upstream.ts';
export type { Upstream, UpstreamEnd, UpstreamKind } from './upstream.ts';
export { WrappedUpstream } from './wrapped-upstream.ts';
