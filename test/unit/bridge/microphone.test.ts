import { ReadableStream, type ReadableStreamDefaultController } from 'node:stream/web';
import { describe, expect, test } from 'vitest';
import { encodeHeader, SAMPLE_RATE, VOICE_CODEC } from '../../../proto/voice/index.ts';
import { Microphone } from '../../../server/bridge/microphone.ts';

const OCTETS_PER_MS = 48;

function header(stretch: number, firstSample: number, rewind?: number): Uint8Array {
  const fields = { stretch, firstSample, codec: VOICE_CODEC, rate: SAMPLE_RATE, startMs: 0 } as const;
  return encodeHeader({ type: 'parley.microphone', ...fields, ...(rewind !== undefined && { rewind }) });
}

/** `ms` of audio whose octets count up from `first`. */
function audio(ms: number, first = 0): Uint8Array {
  return Uint8Array.from({ length: ms * OCTETS_PER_MS }, (_, i) => (first + i) & 0xff);
}

/** A microphone over a stream that the test feeds, and what it handed on. */
function listening(ready: () => Promise<void> | undefined = () => undefined) {
  const handedOn: Uint8Array[] = [];
  const microphone = new Microphone({
    ready,
    append: (pcm) => void handedOn.push(pcm.slice()),
    event: () => {},
    received: () => {},
  });
  let controller!: ReadableStreamDefaultController<Uint8Array>;
  const stream = new ReadableStream<Uint8Array>({
    start: (given) => {
      controller = given;
    },
  });
  const done = microphone.accept(stream, () => false);
  controller.enqueue(header(0, 0));
  return { handedOn, controller, done, microphone };
}

/** Lets everything that waits for nothing but its turn happen. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe('what the microphone hands on', () => {
  test('two frames of 20 ms make one event; the last one of a stretch goes alone', async () => {
    const { handedOn, controller, done } = listening();
    for (const first of [0, 1, 2]) {
      controller.enqueue(audio(20, first));
      await settled();
      expect(handedOn.length).toBe(first === 0 ? 0 : 1);
    }
    controller.close();
    await done;
    expect(handedOn).toEqual([Uint8Array.from([...audio(20, 0), ...audio(20, 1)]), audio(20, 2)]);
  });

  test('40 to 100 ms that come at once go as they are, more is cut at 100', async () => {
    const { handedOn, controller, done } = listening();
    controller.enqueue(audio(40));
    controller.enqueue(audio(100));
    controller.enqueue(audio(130));
    controller.close();
    await done;
    expect(handedOn.map((pcm) => pcm.length / OCTETS_PER_MS)).toEqual([40, 100, 100, 30]);
    expect(handedOn[2]).toEqual(audio(130).slice(0, 100 * OCTETS_PER_MS));
  });

  test('while the upstream takes nothing the stream is not read, and it is known since when', async () => {
    let open = () => {};
    const blocked = new Promise<void>((resolve) => {
      open = resolve;
    });
    let waits: Promise<void> | undefined = blocked;
    const { handedOn, controller, done, microphone } = listening(() => waits);
    controller.enqueue(audio(60));
    controller.enqueue(audio(60));
    await settled();
    expect(handedOn).toEqual([]); // it waits behind the header already
    expect(microphone.stalledSince).toBeGreaterThan(0);
    waits = undefined;
    open();
    controller.close();
    await done;
    expect(handedOn).toEqual([audio(60), audio(60)]);
    expect(microphone.stalledSince).toBeUndefined();
  });
});

describe('a rewind', () => {
  /** A microphone that was asked to begin again, and streams of the page from before and after. */
  function rewound() {
    const handedOn: Uint8Array[] = [];
    const microphone = new Microphone(
      {
        ready: () => undefined,
        append: (pcm) => void handedOn.push(pcm.slice()),
        event: () => {},
        received: () => {},
      },
      true,
    );
    const stopped: unknown[] = [];
    const open = (name: string) => {
      let controller!: ReadableStreamDefaultController<Uint8Array>;
      const stream = new ReadableStream<Uint8Array>({
        start: (given) => {
          controller = given;
        },
        cancel: () => void stopped.push(name),
      });
      return { controller, done: microphone.accept(stream, () => false) };
    };
    return { handedOn, microphone, open, stopped };
  }

  test('lets the page end what it sends still: its streams are read and not stopped, which it would take for a fault', async () => {
    const { handedOn, microphone, open, stopped } = rewound();
    const before = open('before');
    before.controller.enqueue(header(0, 0));
    before.controller.enqueue(audio(60));
    await settled();
    microphone.sendAgainFrom(0, 1);
    before.controller.enqueue(audio(60, 9));
    // Opened by a page that has not heard of it yet.
    const late = open('late');
    late.controller.enqueue(header(1, 1440));
    late.controller.enqueue(audio(60, 9));
    const after = open('after');
    after.controller.enqueue(header(0, 0, 1));
    after.controller.enqueue(audio(60));
    await settled();
    before.controller.error(new Error('reset'));
    late.controller.close();
    after.controller.close();
    await Promise.all([before.done, late.done, after.done]);
    expect(stopped).toEqual([]);
    expect(handedOn).toEqual([audio(60), audio(60)]);
    expect(microphone.samples).toBe(1440);
  });

  test('a stream that is reset before its header was read is one of those; a later one breaks the session off', async () => {
    const { microphone, open } = rewound();
    microphone.sendAgainFrom(0, 1);
    const before = open('before');
    before.controller.error(new Error('reset'));
    await expect(before.done).resolves.toBeUndefined();
    const after = open('after');
    after.controller.enqueue(header(0, 0, 1));
    await settled();
    after.controller.error(new Error('reset'));
    await expect(after.done).rejects.toThrow('broke off');
  });

  test('what it still reads of the page ends with the call', async () => {
    const { microphone, open, stopped } = rewound();
    open('before').controller.enqueue(header(0, 0));
    await settled();
    microphone.sendAgainFrom(0, 1);
    await settled();
    microphone.stop();
    await settled();
    expect(stopped).toEqual(['before']);
  });
});
