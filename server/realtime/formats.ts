/** The one rate that the voice protocol carries. */
const RATE = 24_000;

type Fields = Readonly<Record<string, unknown>>;

function fieldsAt(value: unknown, ...path: readonly string[]): Fields | undefined {
  let at = value;
  for (const name of path) at = typeof at === 'object' && at !== null ? (at as Fields)[name] : undefined;
  return typeof at === 'object' && at !== null ? (at as Fields) : undefined;
}

/** A format as words for people, bounded. */
function named(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return `"${(text ?? String(value)).replaceAll('"', '').slice(0, 60)}"`;
}

/** What is wrong with one format; the API's form is an object, that of its beta a name. */
function problemOf(format: unknown, path: string): string | undefined {
  if (format === undefined || format === null || format === 'pcm16' || format === 'audio/pcm')
    return undefined;
  const { type, rate } = fieldsAt(format) ?? { type: format };
  if (type !== undefined && type !== 'audio/pcm') {
    return `${path} is ${named(type)}: a call carries audio/pcm of ${RATE} Hz, and nothing else; leave the format out.`;
  }
  if (rate !== undefined && rate !== null && rate !== RATE) {
    return `${path}.rate is ${named(rate)}: a call carries audio/pcm of ${RATE} Hz, and nothing else; leave the format out.`;
  }
  return undefined;
}

function problemIn(holder: Fields | undefined, path: string): string | undefined {
  if (holder === undefined) return undefined;
  const { audio } = holder;
  return (
    problemOf(fieldsAt(audio, 'input')?.format, `${path}.audio.input.format`) ??
    problemOf(fieldsAt(audio, 'output')?.format, `${path}.audio.output.format`) ??
    problemOf(holder.input_audio_format, `${path}.input_audio_format`) ??
    problemOf(holder.output_audio_format, `${path}.output_audio_format`)
  );
}

/**
 * Whether an event asks for, or a session has, audio that Parley does not carry: the sentence that says so, with the field's
 * name; undefined when all is well. Pure. Looks at `session` and `response`, in the API's form and in that of its beta,
 * whatever the event's type.
 */
export function formatProblem(event: Fields): string | undefined {
  return problemIn(fieldsAt(event.session), 'session') ?? problemIn(fieldsAt(event.response), 'response');
}
