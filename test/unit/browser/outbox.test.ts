import { describe, expect, it, vi } from 'vitest';
import { CallError } from '../../../browser/errors.ts';
import { Microphone, type MicrophonePort } from '../../../browser/microphone.ts';
import { MAX_WAITING_EVENTS, Outbox } from '../../../browser/outbox.ts';

const COMMIT = { type: 'input_audio_buffer.commit' };
const CREATE = { type: 'response.create' };

function setUp() {
  const sent: object[] = [];
  const failures: unknown[] = [];
  const state = { closing: false, samples: 0, full: false };
  const outbox = new Outbox({
    closing: () => state.closing,
    order: () => state.samples,
    send: (message) => {
      if (state.full) throw new CallError('queue_full', 'full', 'wait');
      sent.push(message);
    },
    failed: (error) => failures.push(error),
  });
  return { outbox, sent, failures, state };
}

describe('the outbox', () => {
  it('sends at once, and says the place in the audio of what has one', () => {
    const { outbox, sent, state } = setUp();
    state.samples = 4711;
    outbox.send(CREATE);
    outbox.send(COMMIT);
    expect(sent).toEqual([CREATE, { type: 'parley.ordered', microphoneSamples: 4711, event: COMMIT }]);
  });

  it('keeps what is sent after a mute, in order, until the last sample has left the worklet', () => {
    const { outbox, sent, state } = setUp();
    state.closing = true;
    state.samples = 100;
    outbox.send(COMMIT);
    outbox.send(CREATE);
    expect(sent).toEqual([]);
    state.samples = 480;
    outbox.stretchEnded(); // of an earlier stretch: another is still closing
    expect(sent).toEqual([]);
    state.closing = false;
    outbox.stretchEnded();
    expect(sent).toEqual([{ type: 'parley.ordered', microphoneSamples: 480, event: COMMIT }, CREATE]);
  });

  it('does not wait without end for a worklet that is silent', () => {
    vi.useFakeTimers();
    try {
      const { outbox, sent, state } = setUp();
      state.closing = true;
      outbox.send(CREATE);
      vi.advanceTimersByTime(2000);
      expect(sent).toEqual([CREATE]);
    } finally {
      vi.useRealTimers();
    }
  });

  it('bounds what waits, forgets it when the call is over, and tells of what could not be sent later', () => {
    const { outbox, sent, failures, state } = setUp();
    state.closing = true;
    for (let i = 0; i < MAX_WAITING_EVENTS; i++) outbox.send(CREATE);
    expect(() => outbox.send(CREATE)).toThrow(CallError);
    outbox.close();
    state.closing = false;
    outbox.stretchEnded();
    expect(sent).toEqual([]);
    state.closing = true;
    outbox.send(CREATE);
    state.full = true;
    state.closing = false;
    outbox.stretchEnded();
    expect(failures).toMatchObject([{ code: 'queue_full' }]);
  });
});

describe("the page's side of the microphone", () => {
  it('hanging up right after a mute waits for the samples of the muted stretch', async () => {
    const posted: unknown[] = [];
    const port: MicrophonePort = { postMessage: (message) => posted.push(message), onmessage: undefined };
    const heard: string[] = [];
    const microphone = new Microphone(port, {
      opened: () => heard.push('opened'),
      samples: () => heard.push('samples'),
      closed: () => heard.push(microphone.closing ? 'closed, another closing' : 'closed'),
      mutedLevel: () => {},
    });
    const report = (data: object) => (port.onmessage as (event: { data: object }) => void)({ data });
    microphone.open();
    report({ type: 'opened' });
    void microphone.close();
    expect(microphone.closing).toBe(true);
    const hangUp = microphone.close().then(() => heard.push('over'));
    await Promise.resolve();
    report({ type: 'chunk', samples: new Int16Array(1), firstSample: 0, level: 0 });
    report({ type: 'closed', emittedSamples: 1 });
    await hangUp;
    expect(heard).toEqual(['opened', 'samples', 'closed', 'over']);
    expect(posted).toEqual([{ type: 'open' }, { type: 'close' }]);
  });
});
