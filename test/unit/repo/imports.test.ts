import { execFile, execFileSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../../..');

/** Imports the modules, then writes what would keep the process running. */
const SCRIPT = `
  for (const path of process.argv.slice(1)) {
    await import(path);
    const left = process.getActiveResourcesInfo().filter((name) => !/^(TTY|Pipe|FS|CloseReq|MessagePort)/.test(name));
    if (left.length > 0) process.stderr.write(path + ' leaves ' + left.join() + '\\n');
  }`;

it('importing an index.ts starts nothing, prints nothing and leaves nothing open', async () => {
  const listed = execFileSync(
    'git',
    ['ls-files', '--cached', '--others', '--exclude-standard', '*index.ts'],
    {
      cwd: ROOT,
      encoding: 'utf8',
    },
  );
  const paths = listed
    .split('\n')
    .filter((path) => /^(proto|server|lb|browser|certs|net)\/.*\bindex\.ts$/.test(path));
  expect(paths).toContain('server/index.ts');
  expect(paths.length).toBeGreaterThan(12);
  const args = [
    '--import',
    'tsx',
    '--input-type=module',
    '-e',
    SCRIPT,
    ...paths.map((path) => join(ROOT, path)),
  ];
  const { stdout, stderr } = await promisify(execFile)(process.execPath, args, {
    cwd: ROOT,
    timeout: 60_000,
  });
  expect([stdout, stderr]).toEqual(['', '']);
}, 70_000);
