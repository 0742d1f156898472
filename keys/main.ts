import { parseArgs } from 'node:util';
import { commandLine } from '../net/packaged.ts';
import { runProgram } from '../net/program.ts';
import { StartupError } from '../net/startup.ts';
import { checkRotation } from './check.ts';
import { rotateKeys } from './rotate.ts';

const COMMAND = commandLine('parley keys', 'npm run keys --');

const USAGE = `usage: ${COMMAND} rotate cluster.json
       ${COMMAND} check cluster.json [--forwarder http://127.0.0.1:9100/metrics]… [--seconds 5]

rotate writes the next file of a rotation of the CID key in place; three of them make one rotation: the new key is announced,
then issued, then the old one is taken out. check says in which of these phases a cluster is, and asks forwarders how
many packets still carry the old one.
`;

const OPTIONS = {
  forwarder: { type: 'string', multiple: true, default: [] as string[] },
  seconds: { type: 'string', default: '5' },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

function readArguments() {
  try {
    return parseArgs({ options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new StartupError(`${(error as Error).message}\n\n${USAGE}`);
  }
}

async function main(): Promise<void> {
  const { values, positionals } = readArguments();
  const [command, path, ...more] = positionals;
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  if (path === undefined || more.length > 0) throw new StartupError(USAGE);
  if (command === 'rotate') {
    const { done, next } = rotateKeys(path);
    process.stdout.write(`${done}\n${next}\n`);
  } else if (command === 'check') {
    const seconds = Number(values.seconds);
    if (!(seconds > 0 && seconds <= 3600)) throw new StartupError('--seconds must be a number up to 3600.');
    process.stdout.write(`${(await checkRotation(path, values.forwarder, seconds)).join('\n')}\n`);
  } else throw new StartupError(USAGE);
}

runProgram(main);
