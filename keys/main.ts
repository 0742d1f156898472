import { statSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { loadClusterFile } from '../net/cluster/index.ts';
import { commandLine } from '../net/packaged.ts';
import { runProgram } from '../net/program.ts';
import { StartupError } from '../net/startup.ts';
import { rotationPhase } from '../proto/quic-lb/index.ts';
import { checkRotation } from './check.ts';
import { rotateKeys } from './rotate.ts';

const COMMAND = commandLine('parley keys', 'npm run keys --');

/** A step so soon after the last one, in ms, is a mistake, unless it is asked for: no forwarder or connection can have followed. */
const STEP_MS = 60_000;

const USAGE = `usage: ${COMMAND} rotate cluster.json [--now]
       ${COMMAND} check cluster.json [--forwarder http://127.0.0.1:9100/metrics]… [--seconds 5]

rotate writes the next file of a rotation of the CID key in place; three of them make one rotation: the new key is announced,
then issued, then the old one is taken out. Within a minute of the last step it takes none, unless by --now: calls whose
forwarders have not read the last file would be lost. check says in which of these phases a cluster is, and asks forwarders how
many packets still carry the old one.
`;

const OPTIONS = {
  forwarder: { type: 'string', multiple: true, default: [] as string[] },
  seconds: { type: 'string', default: '5' },
  now: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

function readArguments() {
  try {
    return parseArgs({ options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw new StartupError(`${(error as Error).message}\n\n${USAGE}`);
  }
}

/** Throws `StartupError` while a rotation is under way whose last step was just taken. A file that cannot be read is told of later. */
function mustHaveSettled(path: string): void {
  const changed = statSync(path, { throwIfNoEntry: false })?.mtimeMs;
  const agoMs = Date.now() - (changed ?? 0);
  if (agoMs < 0 || agoMs >= STEP_MS) return;
  const now = rotationPhase(loadClusterFile(path).cluster.quicLb);
  if (now.phase === 'settled') return;
  const wait = Math.ceil((STEP_MS - agoMs) / 1000);
  throw new StartupError(
    `${path} was changed ${Math.floor(agoMs / 1000)} s ago and is "${now.phase}": calls are lost if the next step comes before every forwarder and backend has read it, and connections have moved. Ask \`${COMMAND} check\`, and rotate again in ${wait} s; --now does it at once.`,
  );
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
    if (!values.now) mustHaveSettled(path);
    const { done, next } = rotateKeys(path);
    process.stdout.write(`${done}\n${next}\n`);
  } else if (command === 'check') {
    const seconds = Number(values.seconds);
    if (!(seconds > 0 && seconds <= 3600)) throw new StartupError('--seconds must be a number up to 3600.');
    process.stdout.write(`${(await checkRotation(path, values.forwarder, seconds)).join('\n')}\n`);
  } else throw new StartupError(USAGE);
}

runProgram(main);
