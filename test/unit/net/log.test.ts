import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { LogDestination } from '../../../net/log.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../../..');

/** An output that takes `room` octets, then fails with `code`. */
function output() {
  let text = '';
  const state = { room: Number.POSITIVE_INFINITY, code: 'ENOSPC' };
  const write = (octets: Uint8Array) => {
    const taken = Math.min(octets.length, state.room);
    if (taken === 0) throw Object.assign(new Error(state.code), { code: state.code });
    state.room -= taken;
    text += Buffer.from(octets.subarray(0, taken)).toString();
    return taken;
  };
  return { state, destination: new LogDestination(write), text: () => text };
}

afterEach(() => vi.useRealTimers());

describe('where log lines go', () => {
  it.each(['ENOSPC', 'EAGAIN'])(
    'after %s lines wait, bounded, whole and in order, and the rest is dropped and counted',
    (code) => {
      vi.useFakeTimers();
      const { state, destination, text } = output();
      state.code = code;
      state.room = 7;
      for (let i = 0; i < 5000; i++) destination.write(`${String(i).padStart(4, '0')}\n`);
      expect(text()).toBe('0000\n00');
      expect(destination.dropped).toBe(3999);
      state.room = Number.POSITIVE_INFINITY;
      vi.advanceTimersByTime(300);
      const lines = text().trim().split('\n');
      expect(lines).toEqual(Array.from({ length: 1001 }, (_, i) => String(i).padStart(4, '0')));
      destination.write('after\n');
      expect(text().endsWith('\nafter\n')).toBe(true);
    },
  );

  it('few large lines are bounded by their octets', () => {
    vi.useFakeTimers();
    const { state, destination } = output();
    state.room = 0;
    for (let i = 0; i < 10; i++) destination.write('x'.repeat(100_000));
    expect(destination.dropped).toBe(8);
  });

  it('without a reader (EPIPE) nothing waits: all is dropped and counted', () => {
    const { state, destination } = output();
    Object.assign(state, { room: 0, code: 'EPIPE' });
    for (let i = 0; i < 10; i++) destination.write('line\n');
    expect(destination.dropped).toBe(10);
  });
});

describe('a process that logs', () => {
  /** Logs 20 000 lines of 100 octets in turns of the event loop, then says on stderr how many were dropped. */
  const SCRIPT = `
    const { createLog, logLinesDropped } = await import('./net/log.ts');
    const log = createLog({ level: 'info', base: null });
    await new Promise((resolve) => process.stdin.once('data', resolve));
    for (let i = 0; i < 200; i++) {
      for (let j = 0; j < 100; j++) log.info('x'.repeat(80));
      await new Promise((resolve) => setImmediate(resolve));
    }
    process.stderr.write('dropped ' + logLinesDropped());
    process.exit(0);`;

  const run = (stdout: 'pipe' | number) =>
    spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', SCRIPT], {
      cwd: ROOT,
      stdio: ['pipe', stdout, 'pipe'],
    });

  async function dropped(child: ChildProcess): Promise<number> {
    let said = '';
    child.stderr!.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    child.stdin!.write('go');
    const [code] = await once(child, 'close');
    expect(code, said).toBe(0);
    return Number(/^dropped (\d+)$/.exec(said)?.[1]);
  }

  it('goes on while its disk is full (/dev/full)', async () => {
    expect(await dropped(run(openSync('/dev/full', 'w')))).toBe(19_000);
  });

  it('goes on when the reader of its pipe is gone', async () => {
    const child = run('pipe');
    child.stdout!.destroy();
    expect(await dropped(child)).toBe(20_000);
  });

  it('goes on while the reader of its pipe stands still', async () => {
    const child = run('pipe');
    child.stdout!.pause();
    const said = new Promise<number>((resolve) => {
      child.stderr!.once('data', (chunk: Buffer) => resolve(Number(chunk.toString().split(' ')[1])));
    });
    child.stdin!.write('go');
    expect(await said).toBeGreaterThan(10_000);
    child.stdout!.resume();
    await once(child, 'close');
  });

  it('loses nothing while its output is read', async () => {
    const child = run('pipe');
    let lines = 0;
    child.stdout!.on('data', (chunk: Buffer) => {
      lines += chunk.toString().split('\n').length - 1;
    });
    const lost = await dropped(child);
    expect(lines + lost).toBe(20_000);
  });
});
