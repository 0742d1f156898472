export { AudioLog } from './audio-log.ts';
export { type AttachRefusal, BackendCall, type GoOn, whichItems } from './backend-call.ts';
export { OWN_ITEM_PREFIX, type RestorableItem } from './conversation-items.ts';
export { ConversationRecord, type ConversationSnapshot } from './conversation-record.ts';
export {
  type AnswerProgress,
  type Attached,
  type HowAttached,
  isNumbered,
  MAX_CHECKPOINT_OCTETS,
  MAX_GONE_ITEMS,
  MAX_ITEM_NAME_LENGTH,
  MAX_OPEN_ANSWERS,
  MAX_TICKET_OCTETS,
  type Resume,
} from './messages.ts';
export { type ArchivedStretch, MAX_ARCHIVE_SAMPLES, MicrophoneArchive } from './microphone-archive.ts';
export { COVERED, PageCall, type SendFrom } from './page-call.ts';
export { ReplayLog, type ReplayLogLimits } from './replay-log.ts';
