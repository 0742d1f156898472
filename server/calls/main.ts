import { commandLine } from '../../net/packaged.ts';
import { readFlags, runProgram } from '../../net/program.ts';
import { StartupError } from '../../net/startup.ts';
import type { CallSummary } from './call-list.ts';
import { callTable } from './table.ts';

const TOKEN_VARIABLE = 'PARLEY_OPERATOR_TOKEN';

const USAGE = `usage: ${commandLine('parley calls', 'npm run --silent calls --')} --backend http://127.0.0.1:9101 […]

Prints the calls that run, of one backend or several. The token is read from ${TOKEN_VARIABLE}; it is what
"operatorToken" of the backends' files says.

  --backend URL   where the backend's "metrics" are; may be given several times
  --session ID    only the call of this session ID, as the page shows it; its beginning is enough
  --json          one JSON object per line
  --qlog          begin a qlog of the call that --session names (the whole ID), and print its file at the backend
`;

const FLAGS = {
  backend: { type: 'string', multiple: true },
  session: { type: 'string', default: '' },
  json: { type: 'boolean', default: false },
  qlog: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

async function ask<Answer>(base: string, path: string, method: string, token: string): Promise<Answer> {
  if (!URL.canParse(base))
    throw new StartupError(`--backend must be a URL such as http://127.0.0.1:9101, not "${base}".`);
  const url = new URL(path, base);
  try {
    const response = await fetch(url, {
      method,
      headers: { authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(5000),
    });
    if (!response.ok) throw new StartupError(`${url}: ${(await response.text()).trim()}`);
    return (await response.json()) as Answer;
  } catch (error) {
    if (error instanceof StartupError) throw error;
    const { cause, message } = error as Error;
    throw new StartupError(`${url} does not answer: ${(cause as Error | undefined)?.message ?? message}.`);
  }
}

/** The calls of each backend. One that gives none is told, and the exit status is 1; when none does, that is all. */
async function askAll(backends: readonly string[], token: string): Promise<{ calls: CallSummary[] }[]> {
  const asked = await Promise.allSettled(
    backends.map((base) => ask<{ calls: CallSummary[] }>(base, '/calls', 'GET', token)),
  );
  const faults = asked.flatMap((one) => (one.status === 'rejected' ? [(one.reason as Error).message] : []));
  if (faults.length === asked.length) throw new StartupError(faults.join('\n'));
  for (const fault of faults) process.stderr.write(`${fault}\n`);
  if (faults.length > 0) process.exitCode = 1;
  return asked.map((one) => (one.status === 'fulfilled' ? one.value : { calls: [] }));
}

async function main(): Promise<void> {
  const flags = readFlags(FLAGS, USAGE);
  if (flags.help) {
    process.stdout.write(USAGE);
    return;
  }
  if (flags.backend === undefined) throw new StartupError(`--backend is missing.\n\n${USAGE}`);
  const token = process.env[TOKEN_VARIABLE];
  if (!token)
    throw new StartupError(`${TOKEN_VARIABLE} is not set; set it to the backends' "operatorToken".`);
  const lists = await askAll(flags.backend, token);
  if (flags.qlog) {
    const at = lists.findIndex(({ calls }) => calls.some(({ session }) => session === flags.session));
    if (at < 0) throw new StartupError('--qlog wants --session with the whole ID of a call that runs.');
    const path = `/qlog?session=${encodeURIComponent(flags.session)}`;
    const { qlog } = await ask<{ qlog: string }>(flags.backend[at]!, path, 'POST', token);
    process.stdout.write(`${qlog}\n`);
    return;
  }
  const calls = lists
    .flatMap((list) => list.calls)
    .filter(({ session }) => session.startsWith(flags.session));
  process.stdout.write(
    flags.json ? calls.map((call) => `${JSON.stringify(call)}\n`).join('') : callTable(calls),
  );
}

runProgram(main);
