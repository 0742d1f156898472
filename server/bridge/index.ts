export {
  DEFAULT_ALLOWED_EVENTS,
  DEFAULT_VOICE_LIMITS,
  type VoiceContext,
  type VoiceLimits,
  type VoiceObserver,
} from './context.ts';
export { OctetBudget } from './octet-budget.ts';
export { serveVoice } from './session.ts';
