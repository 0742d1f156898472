import type { Message } from '../../proto/voice/index.ts';
import { SIGHTS } from './sky/bodies.ts';
import type { Sky } from './sky/sky.ts';
import { setTheme, THEMES, type Theme } from './theme.ts';

const argument = (name: string, values: readonly string[]) => ({
  type: 'object',
  properties: { [name]: { type: 'string', enum: values } },
  required: [name],
});

/** What the model may call, as a `session.update` names it. */
export const TOOLS = [
  {
    type: 'function',
    name: 'show_planet',
    description: 'Turns the camera of the solar system on the page to a body, or shows all of it.',
    parameters: argument('planet', SIGHTS),
  },
  {
    type: 'function',
    name: 'set_theme',
    description: 'Changes the colours of the page.',
    parameters: argument('theme', THEMES),
  },
] as const;

/** Calls of one response that are answered: a model that goes astray must not keep the page busy. */
const MAX_CALLS = 16;

interface FunctionCall {
  readonly name: string;
  readonly call_id: string;
  readonly arguments: string;
}

/** The calls in a response that is complete: one that was spoken over, or failed, may hold half a call. */
function callsOf({ type, response }: Message): readonly FunctionCall[] {
  if (type !== 'response.done' || typeof response !== 'object' || response === null) return [];
  const { status, output } = response as { status?: unknown; output?: unknown };
  if (status !== 'completed' || !Array.isArray(output)) return [];
  return output
    .filter(
      (item): item is FunctionCall =>
        item?.type === 'function_call' &&
        typeof item.call_id === 'string' &&
        typeof item.name === 'string' &&
        typeof item.arguments === 'string',
    )
    .slice(0, MAX_CALLS);
}

function argumentOf(json: string, name: string): string {
  try {
    const value = (JSON.parse(json) as Record<string, unknown> | null)?.[name];
    return typeof value === 'string' ? value : '';
  } catch {
    return '';
  }
}

/** What the page does for a call; gives a sentence for the model. */
function perform({ name, arguments: given }: FunctionCall, sky: Pick<Sky, 'show'>): string {
  if (name === 'show_planet') {
    const planet = argumentOf(given, 'planet');
    const fact = sky.show(planet);
    return fact === undefined
      ? `There is no such body; there are ${SIGHTS.join(', ')}.`
      : `The page shows ${planet}. ${fact}`;
  }
  if (name === 'set_theme') {
    const theme = argumentOf(given, 'theme');
    if (!THEMES.includes(theme as Theme)) return `There is no such theme; there are ${THEMES.join(', ')}.`;
    setTheme(theme as Theme);
    return `The page is ${theme === 'system' ? 'as the system has it' : theme} now.`;
  }
  return `The page has no function ${name}.`;
}

/** Does what the model calls for, and tells it what came of that; gives a line for each call. */
export function answerCalls(
  event: Message,
  sky: Pick<Sky, 'show'>,
  send: (event: { readonly type: string }) => void,
): readonly string[] {
  const calls = callsOf(event);
  const lines = calls.map((call) => {
    const output = perform(call, sky);
    const item = { type: 'function_call_output', call_id: call.call_id, output };
    send({ type: 'conversation.item.create', item } as { type: string });
    return output;
  });
  if (calls.length > 0) send({ type: 'response.create' });
  return lines;
}
