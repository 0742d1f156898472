import { describe, expect, it } from 'vitest';
import { CallError } from '../../../browser/errors.ts';
import { MAX_WAITING_SAMPLES, MicrophoneUplink } from '../../../browser/microphone-uplink.ts';
import { AudioHash, MicrophoneHeaderDecoder } from '../../../proto/voice/index.ts';
import { concat } from '../../../proto/wire/index.ts';

class Sink {
  readonly decoder = new MicrophoneHeaderDecoder();
  readonly audio: Uint8Array[] = [];
  ended = false;
  readonly stream: WritableStream<Uint8Array>;

  constructor(gate: Promise<void>) {
    this.stream = new WritableStream({
      write: async (chunk) => {
        await gate;
        this.audio.push(this.decoder.push(chunk));
      },
      close: () => {
        this.ended = true;
      },
    });
  }
}

function network(gate: Promise<void> = Promise.resolve()) {
  const sinks: Sink[] = [];
  const open = async () => {
    const sink = new Sink(gate);
    sinks.push(sink);
    return sink.stream;
  };
  return { sinks, open };
}

const samples = (length: number, from: number) => Int16Array.from({ length }, (_, i) => from + i);

describe('the microphone uplink', () => {
  it('sends what was said before there was a connection, each sample once and in order, one stream per stretch', async () => {
    const uplink = new MicrophoneUplink();
    uplink.begin(12.5);
    uplink.push(samples(480, 0));
    uplink.push(samples(480, 480));
    uplink.end();
    uplink.begin(900);
    uplink.push(samples(480, 960));
    const { sinks, open } = network();
    const done = uplink.run(open);
    uplink.push(samples(20, 1440));
    uplink.finish();
    await done;
    expect(sinks.map((sink) => sink.decoder.header)).toMatchObject([
      { stretch: 0, firstSample: 0, startMs: 12.5 },
      { stretch: 1, firstSample: 960, startMs: 900 },
    ]);
    expect(sinks.map((sink) => sink.ended)).toEqual([true, true]);
    const octets = concat(sinks.flatMap((sink) => sink.audio));
    expect(new Int16Array(octets.buffer)).toEqual(samples(1460, 0));
    expect(new AudioHash().update(octets).digest()).toBe(uplink.hash);
    expect(uplink).toMatchObject({ samples: 1460, sentSamples: 1460, bufferedMs: 0, stretches: 2 });
  });

  it('puts what is said before and after an ordered event into stretches of their own, the later one behind the event', async () => {
    const uplink = new MicrophoneUplink();
    uplink.begin(0);
    uplink.push(samples(480, 0));
    expect(uplink.order(20)).toBe(480);
    uplink.push(samples(100, 480));
    uplink.end();
    expect(uplink.order(30)).toBe(580);
    uplink.begin(40);
    uplink.finish();
    const { sinks, open } = network();
    await uplink.run(open);
    expect(sinks.map((sink) => sink.decoder.header)).toMatchObject([
      { stretch: 0, firstSample: 0 },
      { stretch: 1, firstSample: 480, orderedEvents: 1, startMs: 20 },
      { stretch: 2, firstSample: 580, orderedEvents: 2, startMs: 40 },
    ]);
    expect(sinks[0]?.decoder.header).not.toHaveProperty('orderedEvents');
  });

  it('sends an empty stretch too, for the next one is only read after it', async () => {
    const uplink = new MicrophoneUplink();
    uplink.begin(0);
    uplink.end();
    uplink.begin(5);
    uplink.finish();
    const { sinks, open } = network();
    await uplink.run(open);
    expect(sinks.map((sink) => sink.decoder.header?.stretch)).toEqual([0, 1]);
  });

  it('keeps and counts what the network does not take', async () => {
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const uplink = new MicrophoneUplink();
    const { sinks, open } = network(gate);
    const done = uplink.run(open);
    uplink.begin(0);
    for (let i = 0; i < 50; i++) uplink.push(samples(480, 0));
    expect(uplink.bufferedMs).toBe(1000);
    release();
    uplink.finish();
    await done;
    expect(uplink.bufferedMs).toBe(0);
    expect(concat(sinks.flatMap((sink) => sink.audio)).length).toBe(48_000);
  });

  it('fails with a sentence rather than lose a word when its bound is reached', () => {
    const uplink = new MicrophoneUplink();
    uplink.begin(0);
    uplink.push(new Int16Array(MAX_WAITING_SAMPLES));
    expect(() => uplink.push(new Int16Array(1))).toThrow(CallError);
  });

  it('reports a broken transport to its owner', async () => {
    const uplink = new MicrophoneUplink();
    uplink.begin(0);
    const lost = new Error('the connection is lost');
    await expect(uplink.run(() => Promise.reject(lost))).rejects.toBe(lost);
  });
});
