export { Call } from './call.ts';
export {
  DEFAULT_VOICE_LIMITS,
  type VoiceObserver,
} from './context.ts';
export { OctetBudget } from './octet-budget.ts';
export { type SessionContext as VoiceContext, serveVoice } from './session.ts';
export { UnfinishedMessages } from './unfinished-messages.ts';
