export { type Admission, MAX_REMEMBERED_SUBJECTS, SubjectLimits } from './subject-limits.ts';
export {
  ANYONE,
  type Caller,
  MAX_TOKEN_LENGTH,
  MIN_SECRET_OCTETS,
  type MintOptions,
  mintToken,
  TOKEN_REFUSAL_SENTENCES,
  type TokenPolicy,
  type TokenRefusal,
  type TokenVerdict,
  TokenVerifier,
} from './tokens.ts';
