export { type Capsule, CapsuleError, type CapsuleLimit, CapsuleParser, encodeCapsule } from './capsules.ts';
export {
  Http3Connection,
  type Http3Options,
  MAX_FIELD_SECTION_OCTETS,
  type StreamSignals,
} from './connection.ts';
export { Http3Error, Http3ErrorCode, Http3StreamError } from './errors.ts';
export type { Http3Event } from './events.ts';
export type { Field } from './fields.ts';
export { encodeFrame, FrameType } from './frames.ts';
export { ENDED, PENDING, VarintIntake } from './intake.ts';
export { headerValue, type RequestHead, type ResponseHead } from './messages.ts';
export { allowsDatagrams, decodeSettings, encodeSettings, SettingId, type Settings } from './settings.ts';
export { StreamType } from './uni-streams.ts';
