import { afterEach, expect, it, vi } from 'vitest';
import { readFlags } from '../../../net/program.ts';
import { StartupError } from '../../../net/startup.ts';

const { argv } = process;
afterEach(() => {
  process.argv = argv;
  vi.restoreAllMocks();
});

it.each([
  [['--ttl', '-5'], '--ttl lacks its value; one that begins with a dash is written --ttl=-VALUE.\n\nusage'],
  [['--ttl'], "Option '--ttl <value>' argument missing.\n\nusage"],
  [['--tlt', '5'], "Unknown option '--tlt'.\n\nusage"],
])('flags that cannot be read as %j are refused with a sentence', (args, sentence) => {
  process.argv = [...argv.slice(0, 2), ...args];
  const read = () => readFlags({ ttl: { type: 'string' } }, 'usage');
  expect(read).toThrow(new StartupError(sentence));
});
