export type { StreamIntent } from './intents.ts';
export { type StreamEvent, StreamSet } from './stream-set.ts';
export type { StreamLimits } from './table.ts';
