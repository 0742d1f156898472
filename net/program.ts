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
    const { message } = error as Error;
    // Node adds a hint about positional arguments, of which there are none here.
    const [sentence] = message.split(/\. |\n/, 1);
    const flag = /(--[\w-]+)(?: <value>)?' argument is ambiguous/.exec(message)?.[1];
    const said = flag && `${flag} lacks its value; one that begins with a dash is written ${flag}=-VALUE`;
    throw new StartupError(`${said ?? sentence!.replace(/\.$/, '')}.\n\n${usage}`);
  }
}

/** The environment variable of a process that is a part of the one that started it, and has a channel to it. */
export const PART_VARIABLE = 'PARLEY_PART';

/**
 * Ends a part with the process that started it, however that ended: SIGKILL leaves it no time to end its parts, but closes its channels.
 * For a process that is no part this does nothing.
 */
export function endWithStarter(end: () => void): void {
  if (process.env[PART_VARIABLE] === undefined) return;
  if (process.connected) process.once('disconnect', end);
  else end();
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
