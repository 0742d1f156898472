export { AckTracker, type AckTrackerOptions } from './ack-tracker.ts';
export { RangeSet } from './range-set.ts';
