export { canEncodeOpus, LOOK_AHEAD_SAMPLES } from './encoder.ts';
export { type OpusTask, runInOf, sendOpus } from './send.ts';
