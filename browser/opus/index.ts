export { canEncodeOpus, LOOK_AHEAD_SAMPLES } from './encoder.ts';
export { type OpusTask, sendOpus } from './send.ts';
