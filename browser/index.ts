/** Parley in the browser: a voice call over WebTransport, with no framework. */
export type { AnswerCounters, Position } from './answer-log.ts';
export type { AudioState } from './audio-contexts.ts';
export { Call, connect, prepare } from './call.ts';
export type {
  CallEnd,
  CallEvents,
  CallOptions,
  CallState,
  CallStats,
  MicrophoneOverflow,
  Resumed,
} from './call-types.ts';
export type { AudioDevice, AudioDevices } from './devices.ts';
export type { Carrier } from './dial.ts';
export { CallError, type CallErrorCode } from './errors.ts';
export type { WakefulCall } from './keep-awake.ts';
export type { MicrophoneNews, MicrophoneReason, MicrophoneState } from './microphone-status.ts';
export {
  comfortTone,
  cueSounds,
  keepAwake,
  listDevices,
  pushToTalk,
  watchDevices,
} from './on-demand.ts';
export type { CodecOption } from './opus-choice.ts';
export type { Outage } from './outage-watch.ts';
export type { PushToTalkOptions } from './push-to-talk.ts';
export { unsupported } from './session.ts';
export type { ComfortTone, SoundingCall } from './sounds.ts';
export type { TranscriptEntry } from './transcript-list.ts';
export type { Uplink } from './uplink-codec.ts';
export type { WorkletUrls } from './worklet-modules.ts';
