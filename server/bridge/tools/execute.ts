import type { HookGuard } from '../hook-guard.ts';
import { isZod, type ServerTool, type ToolContext } from './tool.ts';

const DEFAULT_TIMEOUT_MS = 20_000;
/** Longest result that the model is given, in characters. */
const MAX_OUTPUT = 256 << 10;
/** Longest arguments that are read, in characters. */
const MAX_ARGUMENTS = 256 << 10;

/** What the model is told when a function gave no result. */
export function failure(sentence: string): string {
  return JSON.stringify({ error: sentence });
}

/** Runs a tool with the model's arguments. Gives what the model is to be told, also of a failure; never rejects. */
export async function execute(
  tool: ServerTool,
  text: unknown,
  context: ToolContext,
  guard: HookGuard,
): Promise<string> {
  const { name, timeoutMs = DEFAULT_TIMEOUT_MS } = tool;
  const result = await guard.wait(
    'tools',
    timeoutMs,
    async (late): Promise<{ readonly value: unknown } | { readonly problem: string }> => {
      const read = await readArguments(tool, text);
      if ('problem' in read) return { problem: read.problem };
      const signal = AbortSignal.any([late, context.signal]);
      return { value: await tool.execute(read.args as never, { ...context, signal }) };
    },
  );
  if (!result.ok)
    return result.fault === 'late'
      ? failure(`The function ${name} did not answer within ${timeoutMs / 1000} s.`)
      : failure(`The function ${name} failed.`);
  if ('problem' in result.value) return failure(result.value.problem);
  return written(name, result.value.value, guard);
}

async function readArguments(
  { name, parameters }: ServerTool,
  text: unknown,
): Promise<{ readonly args: unknown } | { readonly problem: string }> {
  let args: unknown;
  try {
    if (typeof text === 'string' && text.length > MAX_ARGUMENTS)
      return { problem: `The arguments of ${name} are longer than ${MAX_ARGUMENTS} characters.` };
    args = text === '' || text === undefined ? {} : JSON.parse(String(text));
  } catch {
    return { problem: `The arguments of ${name} are not JSON.` };
  }
  if (parameters === undefined || !isZod(parameters)) return { args };
  const checked = await parameters.safeParseAsync(args);
  if (checked.success) return { args: checked.data };
  const issues = checked.error.issues.slice(0, 5).map(({ path, message }) => `${path.join('.')}: ${message}`);
  return { problem: `The arguments of ${name} are not what it takes. ${issues.join('; ')}` };
}

function written(name: string, value: unknown, guard: HookGuard): string {
  const json = guard.now('tools', () => (typeof value === 'string' ? value : (JSON.stringify(value) ?? '')));
  if (!json.ok) return failure(`The function ${name} gave a result that cannot be written as JSON.`);
  if (json.value.length <= MAX_OUTPUT) return json.value;
  const why = `the tool ${name} gave ${json.value.length} characters, of at most ${MAX_OUTPUT}`;
  guard.fault('tools', 'nonsense', undefined, why);
  return failure(`The function ${name} gave a result that is too long.`);
}
