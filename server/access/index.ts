export { type AuthConfig, authSchema } from './config.ts';
export {
  AccessGate,
  type AccessRefusal,
  type AskHook,
  type CallEntry,
  type Entry,
  type HookVerdict,
  subjectName,
  type TokenCarrier,
  tokenOf,
} from './gate.ts';
export { LiveTokens, type Tokens } from './live-tokens.ts';
export { type MintOptions, mintToken } from './mint.ts';
export { parseSecret, readSecret, type SecretSource, TOKEN_SECRET_VARIABLE } from './secret.ts';
export {
  type Admission,
  type LimitReached,
  MAX_REMEMBERED_SUBJECTS,
  SubjectLimits,
} from './subject-limits.ts';
export {
  ANYONE,
  type Caller,
  MAX_TOKEN_LENGTH,
  MIN_SECRET_OCTETS,
  TOKEN_REFUSAL_SENTENCES,
  type TokenPolicy,
  type TokenRefusal,
  type TokenVerdict,
  TokenVerifier,
} from './tokens.ts';
