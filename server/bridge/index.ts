export { Call } from './call.ts';
export {
  DEFAULT_VOICE_LIMITS,
  type VoiceContext,
  type VoiceObserver,
} from './context.ts';
export { OctetBudget } from './octet-budget.ts';
export { serveVoice } from './session.ts';
