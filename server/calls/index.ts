export { hasBearer } from './bearer.ts';
export { CallList, type CallSummary } from './call-list.ts';
export { CallTimings } from './timings.ts';
export { WatchedUpstream } from './watched-upstream.ts';
