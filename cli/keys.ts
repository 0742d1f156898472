import { writeFileSync } from 'node:fs';
import { fileFault } from '../net/files.ts';
import { commandLine } from '../net/packaged.ts';
import { readFlags, runProgram } from '../net/program.ts';
import { StartupError } from '../net/startup.ts';
import { parseClusterFile } from '../proto/quic-lb/index.ts';
import { freshCluster } from '../server/fresh-cluster.ts';

const COMMAND = commandLine('parley keys', 'npm run keys --');

const USAGE = `usage: ${COMMAND} [options]
       ${COMMAND} rotate FILE, or check FILE

Makes a cluster file with fresh keys, for forwarders and backends on several machines. It holds keys: copy it as you copy those.
\`rotate\` and \`check\` take such a file through a rotation of the CID key; each has --help.

  --backend ADDRESS      tunnel address of a backend such as 192.0.2.11:5001; give one for each (default: 127.0.0.1:5001)
  --forwarder ADDRESS    IP address from which a forwarder talks to backends; give one for each (default: 127.0.0.1)
  --tcp                  backends take TCP too, on the port of their tunnel
  --call-host DOMAIN     the domain below which each backend has a name
  --out FILE             write there, readable by its owner only, and never over a file; default: standard output
  --help                 show this
`;

/** Commands of a cluster file that is there already. */
const ROTATION: ReadonlySet<string> = new Set(['rotate', 'check']);

async function main(): Promise<void> {
  if (ROTATION.has(process.argv[2] ?? '')) {
    await import('../keys/main.ts');
    return;
  }
  const flags = readFlags(
    {
      backend: { type: 'string', multiple: true, default: ['127.0.0.1:5001'] },
      forwarder: { type: 'string', multiple: true, default: ['127.0.0.1'] },
      tcp: { type: 'boolean', default: false },
      'call-host': { type: 'string' },
      out: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
    USAGE,
  );
  if (flags.help) {
    process.stdout.write(USAGE);
    return;
  }
  const { backend: tunnels, forwarder: forwarders, tcp, 'call-host': callHost } = flags;
  const text = `${JSON.stringify(freshCluster({ tunnels, forwarders, tcp, callHost }), null, 2)}\n`;
  const checked = parseClusterFile(text);
  if (!checked.ok) throw new StartupError(checked.faults.join('\n'));
  if (flags.out === undefined) process.stdout.write(text);
  else write(flags.out, text);
}

function write(path: string, text: string): void {
  try {
    writeFileSync(path, text, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST')
      throw new StartupError(`${path} is there already: calls that run need its keys. Move it away first.`);
    throw new StartupError(`${path} cannot be written: ${fileFault(error)}.`);
  }
}

runProgram(main);
