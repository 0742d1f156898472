export { openUpstream, type UpstreamConfig } from './openai.ts';
export type { Upstream, UpstreamEnd, UpstreamKind } from './upstream.ts';
