export type { StreamRetransmit } from './retransmit.ts';
export { type StreamEvent, StreamSet } from './stream-set.ts';
export type { StreamLimits } from './table.ts';
