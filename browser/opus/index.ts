export { AnswerOpus } from './answer.ts';
export { canDecodeOpus } from './decoder.ts';
export { canEncodeOpus, LOOK_AHEAD_SAMPLES } from './encoder.ts';
export { runInOf, sendOpus } from './send.ts';
