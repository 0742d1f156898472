import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { connect } from '../../../browser/call.ts';
import type { CallOptions } from '../../../browser/call-types.ts';
import { SessionCloseCode } from '../../../proto/voice/index.ts';
import { memorySessionPair } from '../../support/memory-session.ts';
import { FakeBrowserAudio } from './fake-audio.ts';

const WORKLETS = { microphone: 'm.js', playback: 'p.js' };

let dialled: string[];
beforeEach(async () => {
  await FakeBrowserAudio.install();
  dialled = [];
  // A backend that takes each session and closes it at once.
  vi.stubGlobal('WebTransport', function WebTransport(url: string) {
    dialled.push(url);
    const { client, server } = memorySessionPair();
    const reason = 'The token that the page brought has expired; ask for a new one.';
    const ready = Promise.resolve().then(() =>
      server.close({ closeCode: SessionCloseCode.UNAUTHORIZED, reason }),
    );
    return Object.assign(client, { ready });
  });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

const ended = async (options: Partial<CallOptions>) =>
  (await connect({ url: 'https://voice.example/voice', worklets: WORKLETS, ...options }).ended).error;

describe('the token of a call', () => {
  it('is in the query of the URL; a function is asked for one before each dial', async () => {
    let asked = 0;
    const token = async () => {
      asked += 1;
      return `token ${asked}`;
    };
    await ended({ token: 'a.b.c' });
    await ended({ token });
    await ended({ token });
    await ended({ url: 'https://voice.example/voice?room=1', token: () => 'd&e' });
    await ended({});
    expect(dialled.map((url) => new URL(url).search)).toEqual([
      '?token=a.b.c',
      '?token=token+1',
      '?token=token+2',
      '?room=1&token=d%26e',
      '',
    ]);
  });

  it('that was refused is told in the sentence of the backend, though the session broke while it was opened', async () => {
    expect(await ended({ token: 'late' })).toMatchObject({
      code: 'closed_by_server',
      closeCode: 17,
      retry: false,
      message:
        'The voice server does not let you call. It said: The token that the page brought has expired; ask for a new one.',
      advice: 'Reload the page or sign in again; if that does not help, ask the operator of this page.',
    });
  });

  it('that the page cannot get ends the call with a sentence, and nothing is dialled', async () => {
    const fails = () => Promise.reject(new Error('the page server answered 401.'));
    const throws = () => {
      throw new Error('signed out');
    };
    expect((await ended({ token: fails }))?.message).toBe(
      'The page got no token for the call: the page server answered 401.',
    );
    expect(await ended({ token: throws })).toMatchObject({
      code: 'no_token',
      message: 'The page got no token for the call: signed out.',
    });
    const unanswered = () => Promise.reject(new TypeError('NetworkError when attempting to fetch resource.'));
    expect(await ended({ token: unanswered })).toMatchObject({
      message:
        'The page got no token for the call: its server does not answer (NetworkError when attempting to fetch resource).',
      advice: 'Check the network and that the server of this page runs, then call again.',
    });
    const never = () => new Promise<string>(() => {});
    expect((await ended({ token: never, timeoutMs: 50 }))?.message).toBe(
      'The page got no token for the call: none came within 0.05 seconds.',
    );
    expect(dialled).toEqual([]);
  });
});
