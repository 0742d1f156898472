export { azureRouteProblem } from './dial.ts';
export { formatProblem } from './formats.ts';
export { type OddEvent, openUpstream, type UpstreamConfig } from './openai.ts';
export type { OddEventKind } from './server-event.ts';
export type { Upstream, UpstreamEnd, UpstreamEndDetails, UpstreamKind } from './upstream.ts';
