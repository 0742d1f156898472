import { describe, expect, test } from 'vitest';
import { nodeVersionFault, readFault, readFlags, StartupError } from '../../../net/startup.ts';

describe('what a person is told when a process cannot start', () => {
  test.each(['v18.20.4', 'v20.19.0', 'v16.0.0'])('Node.js %s is too old, in one sentence', (version) => {
    expect(nodeVersionFault(version)).toBe(
      `This is Node.js ${version}, but Parley needs 20.20 or newer: install one from https://nodejs.org.`,
    );
  });

  test.each(['v20.20.0', 'v22.1.0', 'v24.0.0-nightly', process.version])('Node.js %s will do', (version) => {
    expect(nodeVersionFault(version)).toBeUndefined();
  });

  test('why a file cannot be read is said in words, or by the code of the system', () => {
    const fault = (code: string) => readFault(Object.assign(new Error('text'), { code }));
    expect([fault('ENOENT'), fault('EACCES'), fault('EIO')]).toEqual([
      'there is no such file',
      'this user may not read it',
      'EIO',
    ]);
  });

  test('flags are read, and an unknown one is a StartupError', () => {
    const options = { port: { type: 'string', default: '1' } } as const;
    const argv = process.argv;
    try {
      process.argv = [...argv.slice(0, 2), '--port', '7'];
      expect(readFlags(options, 'x').port).toBe('7');
      process.argv = [...argv.slice(0, 2), '--prot', '7'];
      expect(() => readFlags(options, 'x')).toThrow(StartupError);
    } finally {
      process.argv = argv;
    }
  });
});
