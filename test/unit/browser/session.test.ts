import { afterEach, expect, it, vi } from 'vitest';
import { openSession } from '../../../browser/session.ts';

/** A browser tells a page no more than this of a certificate that it does not trust, as of any server that does not answer. */
class RefusedSession {
  readonly ready = Promise.reject(new Error('Opening handshake failed.'));
  readonly closed = Promise.reject(new Error('Opening handshake failed.'));
  close(): void {}
}

afterEach(() => vi.unstubAllGlobals());

it.each([
  [
    'no hash of a certificate',
    undefined,
    'If its certificate is self-signed, `certificateHashes` must name its hash.',
  ],
  ['a list without any', [], 'If its certificate is self-signed, `certificateHashes` must name its hash.'],
  [
    'a hash',
    ['ab'.repeat(32)],
    'Its certificate must be one of `certificateHashes`: if it was renewed, reload the page.',
  ],
])('a page that gave %s, and reached nothing, is told where to look', async (_name, hashes, advice) => {
  vi.stubGlobal('WebTransport', RefusedSession);
  const opened = openSession('https://voice.example:4433/voice', hashes, 1000, new AbortController().signal);
  await expect(opened).rejects.toMatchObject({
    code: 'unreachable',
    message: 'The voice server at voice.example:4433 could not be reached.',
    advice: expect.stringContaining(advice),
  });
});
