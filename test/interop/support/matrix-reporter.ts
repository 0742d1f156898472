import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Reporter, TestModule } from 'vitest/node';
import { CANNOT, CLIENTS, type Client, FEATURES } from './matrix.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../../..');

function ask(command: string, ...args: string[]): string {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).split(
      '\n',
    )[0]!;
  } catch {
    return 'of unknown version';
  }
}

const short = (text: string) => /\d+(?:\.\d+)+/.exec(text)?.[0] ?? text;

function versions(): Readonly<Record<Client, string>> {
  return {
    Chromium: `Chromium ${short(ask(process.env.CHROMIUM ?? '/usr/bin/chromium', '--version'))}`,
    Firefox: `Firefox ESR ${short(ask(process.env.FIREFOX ?? '/usr/bin/firefox-esr', '--version'))} (neqo)`,
    Deno: `Deno ${short(ask(join(ROOT, 'node_modules/.bin/deno'), '--version'))} (quinn)`,
    // gtlsclient does not say; Debian's package does.
    ngtcp2: `ngtcp2 ${short(ask('dpkg-query', '-W', 'ngtcp2-client'))} (gtlsclient)`,
    'quic-go': `quic-go ${short(ask('dpkg-query', '-W', 'golang-github-lucas-clemente-quic-go-dev'))}`,
  };
}

/** `failed` wins over `passed` when a cell has several tests. */
function outcomes(modules: readonly TestModule[]): Map<string, 'pass' | 'fail'> {
  const cells = new Map<string, 'pass' | 'fail'>();
  for (const module of modules) {
    for (const test of module.children.allTests()) {
      const { interop } = test.meta();
      if (interop === undefined) continue;
      const key = `${interop.client}/${interop.feature}`;
      const passed = test.result().state === 'passed' && cells.get(key) !== 'fail';
      cells.set(key, passed ? 'pass' : 'fail');
    }
  }
  return cells;
}

function table(cells: ReadonlyMap<string, string>): { text: string; missing: string[] } {
  const notes: string[] = [];
  const missing: string[] = [];
  const read = (client: Client, feature: (typeof FEATURES)[number]) => {
    const outcome = cells.get(`${client}/${feature}`);
    if (outcome !== undefined) return outcome === 'fail' ? '**fail**' : outcome;
    const reason = CANNOT[client][feature];
    if (reason === undefined) {
      missing.push(`${client}: ${feature}`);
      return '**not run**';
    }
    notes.push(`- ${client}, ${feature}: ${reason}.`);
    return 'cannot test';
  };
  const names = versions();
  const rows = FEATURES.map(
    (feature) => `| ${feature} | ${CLIENTS.map((client) => read(client, feature)).join(' | ')} |`,
  );
  const text = [
    `Interop of ${new Date().toISOString().slice(0, 10)}, through a forwarder and two backends, or straight to a server whose end the test holds (\`npm run interop\`):`,
    '',
    `| | ${CLIENTS.map((client) => names[client]).join(' | ')} |`,
    `| --- | ${CLIENTS.map(() => '---').join(' | ')} |`,
    ...rows,
    '',
    'What cannot be tested, and why:',
    '',
    ...notes.sort(),
    '',
  ].join('\n');
  return { text, missing };
}

/** Prints what the interop tests showed as a Markdown table, and keeps it in test/interop/MATRIX.md. */
export default class MatrixReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const { text, missing } = table(outcomes(modules));
    writeFileSync(join(ROOT, 'test/interop/MATRIX.md'), text);
    process.on('exit', () => process.stdout.write(`\n${text}`));
    if (missing.length > 0) {
      process.exitCode = 1;
      process.stderr.write(`Neither tested nor explained in matrix.ts: ${missing.join('; ')}\n`);
    }
  }
}
