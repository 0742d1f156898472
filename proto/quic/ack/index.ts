export { type AckPolicy, AckTracker } from './ack-tracker.ts';
export { RangeSet } from './range-set.ts';
