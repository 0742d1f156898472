import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../../..');

describe('a Node that is too old', () => {
  const as = (version: string) => {
    const script = `Object.defineProperty(process.versions, 'node', { value: '${version}' }); require('./check-node.cjs')`;
    const { status, stderr } = spawnSync(process.execPath, ['-e', script], { cwd: ROOT, encoding: 'utf8' });
    return { status, stderr };
  };

  it.each(['16.20.2', '18.19.1', '20.9.0'])('%s is told in one sentence which is needed', (version) => {
    expect(as(version)).toEqual({
      status: 1,
      stderr: `Parley needs Node 20.20 or newer, and this is Node ${version}.\n`,
    });
  });

  it.each(['20.20.0', '20.20.2', '22.0.0', '24.1.0', '26.0.0'])('%s is taken', (version) => {
    expect(as(version)).toEqual({ status: 0, stderr: '' });
  });

  it('is asked for its version before anything newer is run, and in syntax that it knows', () => {
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    for (const name of ['start', 'backend', 'certs'])
      expect(scripts[name]).toMatch(/^node check-node\.cjs && /);
    const source = readFileSync(join(ROOT, 'check-node.cjs'), 'utf8');
    expect(source).not.toMatch(/\?\?|\?\.|\bimport\b |\basync\b/);
  });
});
