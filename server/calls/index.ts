export { hasBearer } from './bearer.ts';
export { CallList } from './call-list.ts';
export { CallTimings } from './timings.ts';
export { WatchedUpstream } from './watched-upstream.ts';
