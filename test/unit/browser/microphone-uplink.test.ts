import { describe, expect, it } from 'vitest';
import { CallError } from '../../../browser/errors.ts';
import { MicrophoneAudio } from '../../../browser/microphone-audio.ts';
import { MicrophoneUplink, type UplinkOptions } from '../../../browser/microphone-uplink.ts';
import { AudioHash, MicrophoneArchive, MicrophoneHeaderDecoder } from '../../../proto/voice/index.ts';
import { concat } from '../../../proto/wire/index.ts';

class Sink {
  readonly decoder = new MicrophoneHeaderDecoder();
  readonly audio: Uint8Array[] = [];
  ended = false;
  aborted = false;
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
      abort: () => {
        this.aborted = true;
      },
    });
  }
}

/** What a caller said, and the sessions that carry it. */
class Mouth {
  readonly archive: MicrophoneArchive;
  readonly microphone: MicrophoneAudio;
  uplink: MicrophoneUplink | undefined;

  constructor(maxSamples?: number) {
    this.archive = new MicrophoneArchive(maxSamples);
    this.microphone = new MicrophoneAudio(this.archive, () => this.uplink?.wake());
  }

  session(options: Partial<UplinkOptions> = {}, gate: Promise<void> = Promise.resolve()) {
    const sinks: Sink[] = [];
    const uplink = new MicrophoneUplink({
      archive: this.archive,
      from: 0,
      rewind: 0,
      orderedEvents: (count) => count,
      sent: () => {},
      openStream: async () => {
        const sink = new Sink(gate);
        sinks.push(sink);
        return sink.stream;
      },
      ...options,
    });
    this.uplink = uplink;
    return { sinks, uplink, done: uplink.run() };
  }
}

const samples = (length: number, from: number) => Int16Array.from({ length }, (_, i) => from + i);
const heard = (sinks: readonly Sink[]) => concat(sinks.flatMap((sink) => sink.audio));
const pcm = (octets: Uint8Array) => new Int16Array(octets.slice().buffer);

describe('the microphone uplink', () => {
  it('sends what was said before there was a connection, each sample once and in order, one stream per stretch', async () => {
    const mouth = new Mouth();
    const { microphone } = mouth;
    microphone.begin(12.5);
    microphone.push(samples(480, 0));
    microphone.push(samples(480, 480));
    microphone.end();
    microphone.begin(900);
    microphone.push(samples(480, 960));
    const { sinks, uplink, done } = mouth.session();
    microphone.push(samples(20, 1440));
    microphone.end();
    uplink.finish();
    await done;
    expect(sinks.map((sink) => sink.decoder.header)).toMatchObject([
      { stretch: 0, firstSample: 0, startMs: 12.5 },
      { stretch: 1, firstSample: 960, startMs: 900 },
    ]);
    expect(sinks.map((sink) => sink.ended)).toEqual([true, true]);
    expect(pcm(heard(sinks))).toEqual(samples(1460, 0));
    expect(new AudioHash().update(heard(sinks)).digest()).toBe(microphone.hash);
    expect(uplink.position).toBe(1460);
  });

  it('begins in the middle of a stretch, counts streams anew, and says the rewind and the events that this session was given', async () => {
    const mouth = new Mouth();
    const { microphone } = mouth;
    microphone.begin(0);
    microphone.push(samples(480, 0));
    expect(microphone.order(20)).toBe(480);
    microphone.push(samples(100, 480));
    microphone.end();
    expect(microphone.order(30)).toBe(580);
    microphone.begin(40);
    microphone.push(samples(10, 580));
    microphone.end();
    const { sinks, uplink, done } = mouth.session({
      from: 500,
      rewind: 3,
      orderedEvents: (count) => count - 1,
    });
    uplink.finish();
    await done;
    expect(sinks.map((sink) => sink.decoder.header)).toMatchObject([
      { stretch: 0, firstSample: 500, rewind: 3, startMs: 20 },
      { stretch: 1, firstSample: 580, rewind: 3, orderedEvents: 1 },
    ]);
    expect(sinks[0]?.decoder.header).not.toHaveProperty('orderedEvents');
    expect(pcm(heard(sinks))).toEqual(samples(90, 500));
  });

  it('what one session took and lost, the next one is given again', async () => {
    const mouth = new Mouth();
    mouth.microphone.begin(0);
    mouth.microphone.push(samples(1000, 0));
    const first = mouth.session();
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(first.uplink.position).toBe(1000);
    first.uplink.abort();
    await first.done;
    expect(first.sinks[0]).toMatchObject({ aborted: true, ended: false });
    mouth.microphone.push(samples(200, 1000));
    const second = mouth.session({ from: 400 });
    mouth.microphone.end();
    second.uplink.finish();
    await second.done;
    expect(pcm(heard(second.sinks))).toEqual(samples(800, 400));
    expect(pcm(heard(first.sinks))).toEqual(samples(1000, 0));
  });

  it('joins a backlog into few writes, and counts only what the transport took', async () => {
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const mouth = new Mouth();
    mouth.microphone.begin(0);
    for (let i = 0; i < 50; i++) mouth.microphone.push(samples(480, 0));
    const { sinks, uplink, done } = mouth.session({}, gate);
    expect(uplink.position).toBe(0);
    release();
    mouth.microphone.end();
    uplink.finish();
    await done;
    expect(heard(sinks).length).toBe(48_000);
    expect(sinks[0]!.audio.length).toBeLessThan(5);
  });

  it('fails with a sentence when what it has still to send fell out of what is kept', async () => {
    const mouth = new Mouth(1000);
    mouth.microphone.begin(0);
    mouth.microphone.push(samples(800, 0));
    let release = () => {};
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    const { done } = mouth.session({}, gate);
    mouth.microphone.push(samples(800, 800));
    mouth.microphone.push(samples(800, 1600));
    release();
    await expect(done).rejects.toBeInstanceOf(CallError);
  });

  it('reports a broken transport, unless it was stopped', async () => {
    const lost = new Error('the connection is lost');
    const mouth = new Mouth();
    mouth.microphone.begin(0);
    const openStream = () => Promise.reject(lost);
    await expect(mouth.session({ openStream }).done).rejects.toBe(lost);
    const { uplink, done } = mouth.session({ openStream });
    uplink.stop();
    await done;
  });
});
