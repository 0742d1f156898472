export type { StreamIntent, StreamIntentSink } from './intents.ts';
export { type StreamEvent, StreamSet, type StreamSetOptions } from './stream-set.ts';
export type { StreamLimits } from './table.ts';
