import { type ParseArgsConfig, parseArgs } from 'node:util';
import { StartupError } from './startup.ts';

type Flags<Options extends NonNullable<ParseArgsConfig['options']>> = ReturnType<
  typeof parseArgs<{ options: Options; allowPositionals: false }>
>['values'];

/** Flags of the command line. Throws `StartupError` with the usage for one that is unknown or lacks its value. */
export function readFlags<Options extends NonNullable<ParseArgsConfig['options']>>(
  options: Options,
  usage: string,
): Flags<Options> {
  try {
    return parseArgs({ options, allowPositionals: false }).values;
  } catch (error) {
    // Node adds a hint about positional arguments, of which there are none here.
    const [sentence] = (error as Error).message.split(/\. |\n/, 1);
    throw new StartupError(`${sentence!.replace(/\.$/, '')}.\n\n${usage}`);
  }
}

/** Runs a program. What stops it is said on standard error: a sentence when it is a `StartupError`, else with its stack. */
export function runProgram(main: () => Promise<void> | void, heading = ''): void {
  Promise.resolve()
    .then(main)
    .catch((error: unknown) => {
      const text = error instanceof StartupError ? error.message : String((error as Error)?.stack ?? error);
      process.stderr.write(`${heading}${text.trimEnd()}\n`);
      process.exit(1);
    });
}
