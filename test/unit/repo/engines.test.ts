import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../../..');

it('npm install says of no package that it wants another Node than the one that runs here', () => {
  const flags = ['install', '--dry-run', '--offline', '--ignore-scripts', '--no-audit', '--no-fund'];
  const { stdout, stderr, status } = spawnSync('npm', flags, {
    cwd: ROOT,
    encoding: 'utf8',
    timeout: 60_000,
  });
  expect(`${stdout}${stderr}`).not.toContain('EBADENGINE');
  expect(status).toBe(0);
});
