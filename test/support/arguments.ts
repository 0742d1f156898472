import type { ParseArgsConfig } from 'node:util';
import { readFlags } from '../../net/program.ts';
import { StartupError } from '../../net/startup.ts';

type Options = NonNullable<ParseArgsConfig['options']>;
type Values<Taken extends Options> = ReturnType<typeof readFlags<Taken>>;

/** What the values of options may be; those of a list, with commas or said more than once, one by one. */
interface Rules<Name extends PropertyKey> {
  /** Options that are numbers, with the least that each may be. */
  readonly least?: Partial<Record<Name, number>>;
  /** Those of them that are counted. */
  readonly whole?: readonly Name[];
  readonly oneOf?: Partial<Record<Name, readonly string[]>>;
}

interface Rule {
  readonly least: number | undefined;
  readonly whole: boolean;
  readonly oneOf: readonly string[] | undefined;
}

function faultOf(name: string, text: string, { least, whole, oneOf }: Rule): string | undefined {
  const said = JSON.stringify(text);
  const number = text.trim() === '' ? Number.NaN : Number(text);
  const isFine = whole ? Number.isSafeInteger(number) : Number.isFinite(number);
  if (least !== undefined && !(isFine && number >= least))
    return `--${name} must be a ${whole ? 'whole ' : ''}number from ${least} on, not ${said}`;
  if (oneOf !== undefined && !oneOf.includes(text)) return `--${name} knows ${oneOf.join(', ')}, not ${said}`;
  return undefined;
}

/**
 * Options of a program of the tests. `--help` ends the process with the usage; one that is unknown or cannot be does so with a sentence of it and
 * the usage, before anything is measured.
 */
export function readArguments<const Taken extends Options>(
  usage: string,
  options: Taken,
  { least = {}, whole = [], oneOf = {} }: Rules<keyof Taken> = {},
): Values<Taken> {
  try {
    const withHelp = readFlags({ ...options, help: { type: 'boolean', default: false } }, usage);
    const { help, ...values } = withHelp as Record<string, unknown>;
    if (help === true) {
      process.stdout.write(`${usage.trimEnd()}\n`);
      process.exit(0);
    }
    for (const [name, value] of Object.entries(values)) {
      const rule: Rule = { least: least[name], whole: whole.includes(name), oneOf: oneOf[name] };
      const texts = [value ?? []].flat().filter((one) => typeof one === 'string');
      const faults = texts.flatMap((text) => text.split(',')).map((text) => faultOf(name, text, rule));
      const fault = faults.find((one) => one !== undefined);
      if (fault !== undefined) throw new StartupError(`${fault}.\n\n${usage}`);
    }
    return values as Values<Taken>;
  } catch (error) {
    if (!(error instanceof StartupError)) throw error;
    process.stderr.write(`${error.message.trimEnd()}\n`);
    process.exit(2);
  }
}
