export { Call } from './call.ts';
export {
  DEFAULT_VOICE_LIMITS,
  type VoiceObserver,
} from './context.ts';
export { MovePace } from './drain-move.ts';
export { EarlyUpstreams } from './early-upstream.ts';
export {
  type HookFailure,
  type HookFault,
  HookGuard,
  type HookResult,
  hookFailure,
} from './hook-guard.ts';
export type {
  CallControl,
  CallHooks,
  EventDecision,
  EventSource,
  HookedAudio,
  HookedEnd,
  Transcript,
} from './hooks.ts';
export { OctetBudget } from './octet-budget.ts';
export { type SessionContext as VoiceContext, serveVoice } from './session.ts';
export { definitionOf, type JsonSchema, type ServerTool, type ToolContext, tool } from './tools/index.ts';
export { UnfinishedMessages } from './unfinished-messages.ts';
export type { CallUsage, UsageFigures } from './usage.ts';
