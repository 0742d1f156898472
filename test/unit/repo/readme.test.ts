import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { FORWARDER_CONFIG_KEYS } from '../../../lb/config.ts';
import { clusterFileSchema } from '../../../proto/quic-lb/index.ts';
import { BACKEND_CONFIG_KEYS } from '../../../server/config.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../../..');
const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>;
};

describe('the README keeps to the tree', () => {
  it('names only npm scripts that exist', () => {
    const named = [...readme.matchAll(/npm run ([a-z:-]+)/g)].map((match) => match[1]!);
    expect(named.length).toBeGreaterThan(5);
    expect(named.filter((name) => scripts[name] === undefined)).toEqual([]);
  });

  it('names only files and folders that exist', () => {
    const paths = [...readme.matchAll(/\b((?:proto|server|lb|browser|certs|test)\/[\w./-]*)/g)].map(
      (match) => match[1]!,
    );
    expect(paths.length).toBeGreaterThan(8);
    const missing = paths.filter(
      (path) => !existsSync(join(ROOT, path)) && !existsSync(join(ROOT, `${path}.test.ts`)),
    );
    expect(missing).toEqual([]);
  });

  it('documents every key of the configuration files', () => {
    const keys = [...BACKEND_CONFIG_KEYS, ...FORWARDER_CONFIG_KEYS, ...Object.keys(clusterFileSchema.shape)];
    expect(keys.filter((key) => !readme.includes(`\`${key}\``))).toEqual([]);
  });
});
