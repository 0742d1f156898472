import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as { scripts: Record<string, string> };
const programs = Object.entries(scripts).filter(([name]) => /^(?:bench|fuzz|chaos|simulate)/.test(name));

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function run(name: string, ...args: string[]): Promise<Ended> {
  const [, ...words] = scripts[name]!.split(' ');
  return new Promise((resolve) => {
    execFile(process.execPath, [...words, ...args], (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), out, err }),
    );
  });
}

it.each(programs)('npm run %s -- --help says how it is used, and measures nothing', async (name) => {
  const { code, out } = await run(name, '--help');
  expect(out).toMatch(new RegExp(`^usage: npm run ${name}\\b`));
  expect(code).toBe(0);
});

it.each([
  ['bench:memory', ['--nonsense'], "Unknown option '--nonsense'."],
  ['bench:calls', ['--calls', '10,abc'], '--calls must be a whole number from 0 on, not "abc".'],
  ['bench:calls', ['--rounds', '0'], '--rounds must be a whole number from 1 on, not "0".'],
  ['bench:calls', ['--codec', 'mp3'], '--codec knows opus, pcm, not "mp3".'],
  ['fuzz', ['--seed', '1.5'], '--seed must be a whole number from 0 on, not "1.5".'],
  ['fuzz', ['--minutes', ''], '--minutes must be a number from 0.01 on, not "".'],
])('npm run %s -- %j is told in a sentence', async (name, args, sentence) => {
  const { code, out, err } = await run(name, ...args);
  expect(err).toMatch(/\n\nusage: /);
  expect(err.split('\n')[0]).toBe(sentence);
  expect(err).not.toContain('    at ');
  expect(out).toBe('');
  expect(code).toBe(2);
});
