import { parseArgs } from 'node:util';
import { phaseSentence } from '../keys/check.ts';
import { readClusterFile, readForwarderConfig } from '../lb/config.ts';
import { readFileOrStop } from '../net/files.ts';
import { commandLine } from '../net/packaged.ts';
import { runProgram } from '../net/program.ts';
import { StartupError } from '../net/startup.ts';
import { rotationPhase } from '../proto/quic-lb/index.ts';
import { parseJson } from '../proto/wire/index.ts';
import { checkBackend } from '../server/check.ts';

const USAGE = `usage: ${commandLine('parley check', 'node --import tsx cli/main.ts check')} FILE...

Says of each file whether it is good: a cluster file (and in which phase of a key rotation it is), the settings of a backend, those of a
forwarder. What it names is looked at too: cluster file and, of a backend, certificate, key, files and environment variables of secrets. Ends with 1 when
one is not good.
`;

const counted = (count: number, one: string, more = `${one}s`) => `${count} ${count === 1 ? one : more}`;

/** What a file is, by the keys that only one kind has. */
function checkFile(path: string): string {
  const json = parseJson(readFileOrStop(path, 'file'));
  if (!json.ok)
    throw new StartupError(
      `${path}: The file is not JSON: look at line ${json.line}, column ${json.column}.`,
    );
  const keys = typeof json.value === 'object' && json.value !== null ? Object.keys(json.value) : [];
  if (keys.includes('quicLb') || keys.includes('backends')) {
    const { backends, forwarders, quicLb } = readClusterFile(path);
    const phase = phaseSentence(rotationPhase(quicLb)).replace(/\.$/, '');
    return `a cluster of ${counted(backends.length, 'backend')} and ${counted(forwarders.length, 'forwarder')}\n  ${phase}`;
  }
  if (keys.includes('upstream') || keys.includes('certificate')) {
    const { name, warnings } = checkBackend(path);
    return [`the settings of ${name}`, ...warnings].join('\n  ');
  }
  const { cluster, listen } = readForwarderConfig(path);
  readClusterFile(cluster);
  return `the settings of a forwarder that listens on ${counted(listen.length, 'address', 'addresses')}`;
}

/** A fault may be that of a file or variable which this one names: then it is said which one did. */
const named = (path: string, line: string) => (line.includes(path) ? line : `${path}: ${line}`);

function main(): void {
  const { values, positionals } = parseArgs({
    options: { help: { type: 'boolean', short: 'h', default: false } },
    allowPositionals: true,
    strict: false,
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return;
  }
  if (positionals.length === 0) throw new StartupError(`No file was named.\n\n${USAGE}`);
  const faults: string[] = [];
  for (const path of positionals) {
    try {
      process.stdout.write(`${path} is good: ${checkFile(path)}.\n`);
    } catch (error) {
      if (!(error instanceof StartupError)) throw error;
      faults.push(...error.message.split('\n').map((line) => named(path, line)));
    }
  }
  if (faults.length > 0) throw new StartupError(faults.join('\n'));
}

runProgram(main);
