export {
  AnswerLedger,
  type AnswerPart,
  MAX_LEDGER_PARTS,
  MAX_LEDGER_RESPONSES,
  type Truncation,
} from './answer-ledger.ts';
export { AudioHash } from './audio-hash.ts';
export {
  ERROR_RETRY,
  type ErrorCode,
  SessionCloseCode,
  StreamCode,
  VoiceProtocolError,
} from './codes.ts';
export {
  encodeMessage,
  isMessageType,
  MAX_HEADER_OCTETS,
  MAX_MESSAGE_OCTETS,
  MAX_PARLEY_MESSAGE_OCTETS,
  MessageDecoder,
  type ReceivedMessage,
  type SkippedMessage,
} from './framing.ts';
export {
  type AnswerHeader,
  AnswerHeaderDecoder,
  answerHeaderSchema,
  encodeHeader,
  type MicrophoneHeader,
  MicrophoneHeaderDecoder,
  microphoneHeaderSchema,
  type StreamHeader,
} from './headers.ts';
export {
  AUDIO_BOUND_EVENTS,
  type BehindMessage,
  type ClientMessage,
  type DrainingMessage,
  type ErrorMessage,
  errorMessage,
  type ForwarderChangedMessage,
  type HelloMessage,
  type InterruptMessage,
  isId,
  isParleyMessage,
  MAX_CLEARED_RESPONSES,
  type Message,
  type MicrophoneReceivedMessage,
  type OrderedMessage,
  type PathChangedMessage,
  type PlaybackClearedMessage,
  type PlaybackClearMessage,
  type PlaybackPositionMessage,
  parseClientMessage,
  parseServerMessage,
  type ReadyMessage,
  SAMPLE_RATE,
  type ServerMessage,
  type StatsMessage,
  VOICE_CODEC,
  VOICE_PROTOCOL,
} from './messages.ts';
export {
  MAX_HELD_EVENTS,
  MAX_HELD_OCTETS,
  MAX_MICROPHONE_STREAMS,
  MicrophoneMachine,
  type MicrophoneOutput,
} from './microphone-machine.ts';
export { MAX_WAITING_STRETCHES, MicrophoneOrder } from './microphone-order.ts';
export {
  float32ToInt16,
  int16ToFloat32,
  int16ToOctets,
  msToSamples,
  OCTETS_PER_SAMPLE,
  octetsToInt16,
  PcmAligner,
  samplesToMs,
} from './pcm.ts';
