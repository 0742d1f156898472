import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const run = promisify(execFile);
const commands = [...readFileSync('README.md', 'utf8').matchAll(/npx vitest run ([^`\n]+)/g)].map(
  ([, args]) => args!,
);

it.each(commands)(
  'the README’s `npx vitest run %s` runs a test',
  async (args) => {
    const list = ['--no-install', 'vitest', 'list', '--filesOnly', ...args.split(' ')];
    expect((await run('npx', list)).stdout).toMatch(/\.test\.ts/);
  },
  60_000,
);

it('the README has such a command for each thing that it shows', () => {
  expect(commands.length).toBeGreaterThanOrEqual(8);
});
