import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { FORWARDER_CONFIG_KEYS } from '../../../lb/config.ts';
import { clusterFileSchema, parseClusterFile } from '../../../proto/quic-lb/index.ts';
import { BACKEND_CONFIG_KEYS, parseBackendConfig } from '../../../server/config.ts';

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

  it('shows configuration files that are taken as they stand', () => {
    const [cluster, backend] = [...readme.matchAll(/```json\n([\s\S]*?)```/g)].map((match) => match[1]!);
    expect(parseClusterFile(cluster!)).toMatchObject({ ok: true });
    expect(parseBackendConfig(JSON.parse(backend!), 'README').name).toBe('backend-1');
  });

  it('shows the example that is served and tested, to the letter', () => {
    const example = readFileSync(join(ROOT, 'browser/page/example.js'), 'utf8');
    expect(readme).toContain(`\`\`\`js\n${example}\`\`\``);
  });

  it('documents every key of the configuration files', () => {
    const keys = [...BACKEND_CONFIG_KEYS, ...FORWARDER_CONFIG_KEYS, ...Object.keys(clusterFileSchema.shape)];
    expect(keys.filter((key) => !readme.includes(`\`${key}\``))).toEqual([]);
  });
});
