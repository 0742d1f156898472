import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  encodeHeader,
  MAX_HELD_EVENTS,
  MAX_HELD_OCTETS,
  MAX_MICROPHONE_STREAMS,
  MicrophoneMachine,
  SAMPLE_RATE,
  SessionCloseCode,
  VOICE_CODEC,
} from '../../../proto/voice/index.ts';
import { concat } from '../../../proto/wire/index.ts';

function header(stretch: number, firstSample: number, orderedEvents = 0): Uint8Array {
  const fields = { stretch, firstSample, codec: VOICE_CODEC, rate: SAMPLE_RATE, startMs: 0 } as const;
  return encodeHeader({ type: 'parley.microphone', ...fields, orderedEvents });
}

/** What a page does, as the order in which the upstream must see it. */
type Act =
  | { readonly act: 'speak'; readonly samples: number }
  | { readonly act: 'mute' }
  | { readonly act: 'ordered' }
  | { readonly act: 'plain' };

/** One way in to the machine; its steps come in order, those of different ways in any. */
type Way = (() => void)[];

/** Plays a page into a machine, its streams and messages in any interleaving. */
class Play {
  readonly machine = new MicrophoneMachine();
  readonly audio: Uint8Array[] = [];
  /** The events in their order; those that have a place in the audio with the samples before them. */
  readonly events: { json: string; samples: number | undefined }[] = [];
  readonly heard: Uint8Array[] = [];
  readonly heardEvents: { json: string; samples: number }[] = [];
  readonly #ways: Way[] = [[]];
  #samples = 0;
  #stretch: { octets: Uint8Array[]; at: number; orderedEvents: number } | undefined;
  #stretches = 0;
  #ordered = 0;

  constructor(acts: readonly Act[], chunkOctets: number) {
    for (const act of acts) this.#do(act, chunkOctets);
    this.#end(chunkOctets);
  }

  get samples(): number {
    return this.#samples;
  }

  #do(act: Act, chunkOctets: number): void {
    if (act.act === 'speak') this.#speak(act.samples);
    else if (act.act === 'mute') this.#end(chunkOctets);
    else {
      const json = `{"type":"event","n":${this.events.length}}`;
      const samples = act.act === 'ordered' ? this.#samples : undefined;
      if (samples !== undefined) {
        this.#ordered += 1;
        this.#end(chunkOctets);
      }
      this.events.push({ json, samples });
      this.#ways[0]?.push(() => this.machine.event(json, samples));
    }
  }

  #speak(samples: number): void {
    const octets = new Uint8Array(samples * 2).map((_, i) => (this.#samples * 2 + i) * 31);
    this.#stretch ??= { octets: [], at: this.#samples, orderedEvents: this.#ordered };
    this.#stretch.octets.push(octets);
    this.audio.push(octets);
    this.#samples += samples;
  }

  #end(chunkOctets: number): void {
    if (this.#stretch === undefined) return;
    const { octets, at, orderedEvents } = this.#stretch;
    this.#stretch = undefined;
    const id = this.#stretches++;
    const all = concat([header(id, at, orderedEvents), ...octets]);
    const way: Way = [() => this.machine.open(id)];
    for (let from = 0; from < all.length; from += chunkOctets) {
      const chunk = all.slice(from, from + chunkOctets);
      way.push(() => this.machine.receive(id, chunk));
    }
    way.push(() => this.machine.end(id));
    this.#ways.push(way);
  }

  /** Takes one step of a way chosen by each number, then all that are left. */
  run(choices: readonly number[]): void {
    const left = () => this.#ways.filter((way) => way.length > 0);
    for (const choice of choices) {
      const ways = left();
      if (ways.length === 0) break;
      ways[choice % ways.length]?.shift()?.();
      if (choice % 3 === 0) this.machine.setUpstreamReady(choice % 2 === 0);
      this.#take();
    }
    for (const way of left().reverse())
      for (const step of way) {
        step();
        this.#take();
      }
  }

  #take(): void {
    for (let out = this.machine.poll(); out !== undefined; out = this.machine.poll()) {
      if (out.type === 'append') this.heard.push(out.pcm);
      else if (out.type === 'event')
        this.heardEvents.push({
          json: out.json,
          samples: this.heard.reduce((sum, pcm) => sum + pcm.length / 2, 0),
        });
    }
  }
}

const act: fc.Arbitrary<Act> = fc.oneof(
  fc.record({ act: fc.constant('speak' as const), samples: fc.integer({ min: 1, max: 1500 }) }),
  fc.constant({ act: 'mute' } as const),
  fc.constant({ act: 'ordered' } as const),
  fc.constant({ act: 'plain' } as const),
);

describe('the microphone machine', () => {
  test('any interleaving gives the upstream the same: every sample once, every event in its place', () => {
    fc.assert(
      fc.property(
        fc.array(act, { maxLength: 16 }),
        fc.integer({ min: 20, max: 2000 }),
        fc.array(fc.nat(1000), { maxLength: 200 }),
        (acts, chunk, choices) => {
          const play = new Play(acts, chunk);
          play.run(choices);
          expect(Buffer.compare(concat(play.heard), concat(play.audio))).toBe(0);
          expect(play.heardEvents.map(({ json }) => json)).toEqual(play.events.map(({ json }) => json));
          for (const [i, { samples }] of play.events.entries())
            if (samples !== undefined) expect(play.heardEvents[i]?.samples).toBe(samples);
          for (const pcm of play.heard) expect(pcm.length).toBeLessThanOrEqual(4800);
          expect(play.machine.receivedSamples).toBe(play.samples);
          expect(play.machine.samples).toBe(play.samples);
          expect(play.machine.streams).toBe(0);
          expect(play.machine.holdsMuch).toBe(false);
        },
      ),
      { numRuns: 200 },
    );
  });

  test('only the stretch whose turn it is may be read, and none while the upstream takes nothing', () => {
    const machine = new MicrophoneMachine();
    for (const id of [0, 1]) machine.open(id);
    expect([0, 1].map((id) => machine.wants(id))).toEqual([true, true]);
    machine.receive(1, header(1, 10, 1));
    machine.receive(0, header(0, 0));
    expect([0, 1].map((id) => machine.wants(id))).toEqual([true, false]);
    machine.setUpstreamReady(false);
    expect(machine.wants(0)).toBe(false);
    expect(machine.stalled).toBe(true);
    machine.setUpstreamReady(true);
    machine.receive(0, new Uint8Array(20));
    machine.end(0);
    expect(machine.wants(1)).toBe(false); // it began behind an ordered event that has not come
    machine.event('{}', 10);
    expect(machine.wants(1)).toBe(true);
  });

  test('what arrived is acknowledged: at the end of a stretch at once, else when it is asked for, each once', () => {
    const machine = new MicrophoneMachine();
    machine.open(0);
    machine.receive(0, header(0, 0));
    expect(machine.takeAcknowledgement()).toBeUndefined();
    machine.receive(0, new Uint8Array(200));
    expect(machine.takeAcknowledgement()).toBe(100);
    expect(machine.takeAcknowledgement()).toBeUndefined();
    machine.receive(0, new Uint8Array(20));
    machine.end(0);
    const outputs = Array.from({ length: 2 }, () => machine.poll());
    expect(outputs.map((output) => output?.type)).toEqual(['append', 'received']);
    expect(outputs[1]).toEqual({ type: 'received', samples: 110 });
    expect(machine.takeAcknowledgement()).toBeUndefined();
  });

  test('held events are bounded in entries, and say when they are many octets', () => {
    const machine = new MicrophoneMachine();
    machine.event('{}', 100);
    const large = 'x'.repeat(MAX_HELD_OCTETS / 4);
    machine.event(large);
    expect(machine.holdsMuch).toBe(false);
    machine.event(large);
    expect(machine.holdsMuch).toBe(true);
    for (let i = 3; i < MAX_HELD_EVENTS; i++) machine.event('{}');
    expect(() => machine.event('{}')).toThrow(
      expect.objectContaining({ closeCode: SessionCloseCode.QUEUE_FULL }),
    );
    machine.open(0);
    machine.receive(0, concat([header(0, 0), new Uint8Array(200)]));
    expect(machine.holdsMuch).toBe(false);
    expect(machine.holdsMuch).toBe(false);
  });

  test('open streams are bounded, and a reset always ends in words', () => {
    const machine = new MicrophoneMachine();
    for (let i = 0; i < MAX_MICROPHONE_STREAMS; i++) machine.open(i);
    expect(() => machine.open(99)).toThrow(
      expect.objectContaining({ closeCode: SessionCloseCode.TOO_MANY_STREAMS }),
    );
    expect(() => machine.reset(0, 'gone')).toThrow(
      expect.objectContaining({ closeCode: SessionCloseCode.MICROPHONE_BROKEN }),
    );
  });

  test('a wait in vain is found, one for a slow upstream is not', () => {
    const machine = new MicrophoneMachine();
    machine.event('{}', 100);
    machine.check(0, 1000);
    machine.open(0);
    machine.receive(0, concat([header(0, 0), new Uint8Array(20)]));
    machine.check(900, 1000); // ten samples came: it moves
    machine.setUpstreamReady(false);
    machine.check(5000, 1000);
    machine.setUpstreamReady(true);
    machine.check(5900, 1000);
    expect(() => machine.check(6000, 1000)).toThrow(/waits for sample 100, but 0 came in 1000 ms/);
  });

  test('random octets on any stream throw the one typed error or nothing', () => {
    const input = fc.tuple(fc.nat(3), fc.uint8Array({ maxLength: 80 }), fc.boolean());
    fc.assert(
      fc.property(fc.array(input, { maxLength: 20 }), (inputs) => {
        const machine = new MicrophoneMachine();
        for (let id = 0; id < 4; id++) machine.open(id);
        try {
          for (const [id, octets, good] of inputs) machine.receive(id, good ? header(id, 0) : octets);
        } catch (error) {
          expect(error).toMatchObject({ name: 'VoiceProtocolError' });
        }
      }),
    );
  });
});
