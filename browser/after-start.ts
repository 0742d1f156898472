/** What a call does without until its session stands: loaded while it is dialled (`late-parts.ts`), from a file of its own. */
export { MessageDecoder, parseServerMessage } from '../proto/voice/index.ts';
export { Answers } from './answers.ts';
export { CLOSE_SENTENCES } from './close-sentences.ts';
export { OpusChoice } from './opus-choice.ts';
export { Redial } from './redial.ts';
export { TranscriptList } from './transcript-list.ts';
