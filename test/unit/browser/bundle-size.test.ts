import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { buildExtras, buildLibrary } from '../../../browser/build.ts';

let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'parley-size-'));
  await buildLibrary(folder);
  await buildExtras(folder);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** What a page loads, in KiB after gzip. Say in the commit why a bound is raised. */
it.each([
  ['parley.js', 19],
  ['after-start.js', 11],
  ['carriers/index.js', 3],
  ['carriers/tcp.js', 19],
  ['helpers.js', 2],
  ['opus.js', 5],
  ['worklets/code.js', 4],
  ['agents.js', 2],
  ['react.js', 1],
  ['worklets/microphone.js', 2],
  ['worklets/playback.js', 3],
])('%s is at most %d KiB after gzip', (name, bound) => {
  const size = gzipSync(readFileSync(join(folder, name)), { level: 9 }).length / 1024;
  expect(size).toBeLessThanOrEqual(bound);
  // A bound far above what there is holds nothing.
  expect(size).toBeGreaterThan(bound * 0.5);
});
