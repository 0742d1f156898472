export { Call } from './call.ts';
export {
  DEFAULT_ALLOWED_EVENTS,
  DEFAULT_VOICE_LIMITS,
  type ResumeContext,
  type ResumeRefusal,
  type VoiceContext,
  type VoiceLimits,
  type VoiceObserver,
} from './context.ts';
export { OctetBudget } from './octet-budget.ts';
export { serveVoice } from './session.ts';
