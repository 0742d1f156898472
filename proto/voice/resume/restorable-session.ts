/** Fields of a session that a `session.update` takes; the model cannot be changed there, and IDs and times are not settings. */
const WRITABLE = [
  'type',
  'output_modalities',
  'instructions',
  'audio',
  'tools',
  'tool_choice',
  'parallel_tool_calls',
  'max_output_tokens',
  'reasoning',
  'truncation',
  'tracing',
  'prompt',
  'include',
] as const;

/** Octets of a session's settings that are kept; one with larger tools is not restored, which is told. */
export const MAX_SESSION_OCTETS = 128 * 1024;

/**
 * The settings of a `session.created` or `session.updated`, as a `session.update` takes them: without what only the
 * service may say, and without nulls where null means "as it is". Undefined when they are too large to keep.
 */
export function restorableSession(session: Record<string, unknown>): Record<string, unknown> | undefined {
  const settings: Record<string, unknown> = {};
  for (const field of WRITABLE) {
    const value = session[field];
    if (value !== undefined && value !== null) settings[field] = value;
  }
  return JSON.stringify(settings).length > MAX_SESSION_OCTETS ? undefined : settings;
}
