export { azureRouteProblem } from './dial.ts';
export { formatProblem } from './formats.ts';
export { type OddEvent, openUpstream, type UpstreamConfig } from './openai.ts';

export type { Upstream, UpstreamEnd, UpstreamKind } from './upstream.ts';
