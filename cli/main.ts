#!/usr/bin/env node
import { commandLine } from '../net/packaged.ts';
import { runProgram } from '../net/program.ts';
import { StartupError } from '../net/startup.ts';

const USAGE = `usage: ${commandLine('parley', 'node --import tsx cli/main.ts')} COMMAND [options]

  start        forwarder, backends, a local realtime service and the demo page on this machine
  certs        make a development certificate, or show the one that is there
  keys         make a cluster file with fresh keys; \`keys rotate FILE\` takes one a step of a rotation further, \`keys check FILE\` watches it
  check FILE   say what is wrong with a cluster file, or with a backend's or forwarder's settings, and in which phase of a rotation it is
  calls        list the calls of backends that run, or begin a qlog of one
  token        print a token with which a page may call

Each has --help. parley-server and parley-forwarder run one backend and one forwarder.
`;

/** A command runs when its module is loaded, with the arguments behind its name. */
const COMMANDS: Readonly<Record<string, () => Promise<unknown>>> = {
  start: () => import('../server/start/main.ts'),
  certs: () => import('../certs/main.ts'),
  keys: () => import('./keys.ts'),
  check: () => import('./check.ts'),
  calls: () => import('../server/calls/main.ts'),
  token: () => import('../server/access/main.ts'),
};

async function main(): Promise<void> {
  const [name] = process.argv.splice(2, 1);
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(USAGE);
    return;
  }
  const run = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (run === undefined) throw new StartupError(`There is no command "${name}".\n\n${USAGE}`);
  await run();
}

runProgram(main);
