import { StartupError } from '../net/startup.ts';
import { toolProblem } from './app-hooks.ts';
import type { BackendHooks } from './hooks.ts';

/** What each hook has to be. The compiler holds this to the names that there are. */
const KINDS: Readonly<Record<keyof BackendHooks, 'function' | 'tools' | 'ms'>> = {
  authenticate: 'function',
  session: 'function',
  openUpstream: 'function',
  tools: 'tools',
  onCall: 'function',
  onEvent: 'function',
  onTranscript: 'function',
  onAudio: 'function',
  onEnd: 'function',
  timeoutMs: 'ms',
};

/** Whether there is a hook of that name. */
export const isHook = (name: string): boolean => Object.hasOwn(KINDS, name);

/** Throws `StartupError` with a sentence for each hook that is none: a misspelt `authenticate` would let everybody in. */
export function checkHooks(hooks: unknown): void {
  if (typeof hooks !== 'object' || hooks === null) throw new StartupError('hooks: must be an object.');
  const faults = Object.entries(hooks).flatMap(([name, hook]) => faultOf(name, hook) ?? []);
  if (faults.length > 0) throw new StartupError(faults.map((fault) => `hooks: ${fault}`).join('\n'));
}

function faultOf(name: string, hook: unknown): string | undefined {
  const kind = isHook(name) ? KINDS[name as keyof BackendHooks] : undefined;
  if (kind === undefined) return `there is no hook "${name}"; there are ${Object.keys(KINDS).join(', ')}.`;
  if (hook === undefined) return undefined;
  switch (kind) {
    case 'function':
      return typeof hook === 'function' ? undefined : `"${name}" must be a function.`;
    case 'tools':
      return typeof hook === 'function' ? undefined : toolProblem(hook);
    case 'ms':
      return Number.isFinite(hook) && (hook as number) > 0
        ? undefined
        : `"${name}" must be a number of ms above 0.`;
    default:
      return kind satisfies never;
  }
}
