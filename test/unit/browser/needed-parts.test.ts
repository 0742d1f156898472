import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { buildLibrary } from '../../../browser/build.ts';
import { type CallError, toCallError } from '../../../browser/errors.ts';
import type { LateParts } from '../../../browser/late-parts.ts';
import { neededParts } from '../../../browser/needed-parts.ts';

const PARTS = {} as LateParts;
const files = vi.hoisted(() => ({
  asked: 0,
  load: (): Promise<LateParts | undefined> => new Promise(() => {}),
}));

vi.mock('../../../browser/late-parts.ts', () => ({
  lateParts: () => undefined,
  loadLateParts: () => {
    files.asked += 1;
    return files.load();
  },
}));

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  files.asked = 0;
});
afterEach(() => {
  vi.useRealTimers();
});

it('what could not be loaded is asked for again', async () => {
  files.load = async () => (files.asked > 2 ? PARTS : undefined);
  const parts = neededParts();
  await vi.advanceTimersByTimeAsync(2100);
  expect(await parts).toBe(PARTS);
  expect(files.asked).toBe(3);
});

it.each([
  ['that fails each time', async () => undefined],
  ['that never ends', () => new Promise<undefined>(() => {})],
])('a load %s becomes one sentence within 8 s', async (_name, load) => {
  files.load = load;
  const failed = neededParts().catch((error: CallError) => error);
  await vi.advanceTimersByTimeAsync(8100);
  expect(await failed).toMatchObject({
    name: 'CallError',
    code: 'unreachable',
    retry: true,
    message: 'A part of this page that calls need could not be loaded.',
  });
});

it('the library knows the errors of the file that was loaded', async () => {
  vi.useRealTimers();
  const folder = mkdtempSync(join(tmpdir(), 'parley-late-'));
  try {
    await buildLibrary(folder);
    const { MessageDecoder } = (await import(
      pathToFileURL(join(folder, 'after-start.js')).href
    )) as LateParts;
    const decoder = new MessageDecoder();
    decoder.push(Uint8Array.of(1, 0x7b));
    let thrown: unknown;
    try {
      decoder.next();
    } catch (error) {
      thrown = error;
    }
    expect(toCallError(thrown)).toMatchObject({ code: 'protocol', closeCode: 2, retry: false });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
