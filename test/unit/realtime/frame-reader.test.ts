import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FrameReader, type FrameTarget } from '../../../server/realtime/frame-reader.ts';

/** A frame of a server (RFC 6455 §5.2). `wide` writes its length in 64 bits. */
function frame(first: number, payload: Buffer, wide = false): Buffer {
  const { length } = payload;
  if (!wide && length < 126) return Buffer.concat([Buffer.from([first, length]), payload]);
  const head = Buffer.alloc(!wide && length < 65_536 ? 4 : 10);
  head[0] = first;
  head[1] = head.length === 4 ? 126 : 127;
  if (head.length === 4) head.writeUInt16BE(length, 2);
  else head.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([head, payload]);
}

/** Reads what is passed on, and knows whether it stands between two messages. */
class Passed {
  readonly #say: (what: string) => void;
  #octets = Buffer.alloc(0);
  #parts: Buffer[] | undefined;

  constructor(say: (what: string) => void) {
    this.#say = say;
  }

  get betweenMessages(): boolean {
    return this.#octets.length === 0 && this.#parts === undefined;
  }

  push(octets: Buffer): void {
    this.#octets = Buffer.concat([this.#octets, octets]);
    for (let taken = this.#frame(); taken !== undefined; taken = this.#frame())
      this.#octets = this.#octets.subarray(taken);
  }

  #frame(): number | undefined {
    const octets = this.#octets;
    if (octets.length < 2) return undefined;
    const short = octets[1]! & 0x7f;
    const at = short === 126 ? 4 : short === 127 ? 10 : 2;
    if (octets.length < at) return undefined;
    const length =
      short === 126 ? octets.readUInt16BE(2) : short === 127 ? Number(octets.readBigUInt64BE(2)) : short;
    if (octets.length < at + length) return undefined;
    const payload = octets.subarray(at, at + length);
    if ((octets[0]! & 0x0f) >= 8) this.#say(`control ${payload}`);
    else {
      this.#parts = [...(this.#parts ?? []), payload];
      if ((octets[0]! & 0x80) !== 0) {
        this.#say(`message ${Buffer.concat(this.#parts)}`);
        this.#parts = undefined;
      }
    }
    return at + length;
  }
}

function follow(takes: () => boolean) {
  const said: string[] = [];
  let taken = 0;
  const passed = new Passed((what) => said.push(what));
  const target: FrameTarget = {
    get takes() {
      return takes();
    },
    take: (message) => {
      expect(passed.betweenMessages).toBe(true);
      said.push(`message ${message}`);
      taken += 1;
    },
    pass: (octets) => passed.push(Buffer.from(octets)),
  };
  return { target, said, passed, taken: () => taken };
}

/** Each piece in the same memory, as sockets read. */
function pushAll(reader: FrameReader, target: FrameTarget, octets: Buffer, sizes: readonly number[]): void {
  const memory = Buffer.alloc(1 << 16);
  for (let at = 0, n = 0; at < octets.length; n++) {
    const size = Math.min(sizes[n % sizes.length]!, octets.length - at);
    memory.fill(0xee);
    octets.copy(memory, 0, at, at + size);
    reader.push(memory.subarray(0, size), target);
    at += size;
  }
}

const text = (name: string) => frame(0x81, Buffer.from(name));

describe('the messages of a server', () => {
  test('that come whole (RFC 6455 §5.2) are taken, and nothing else is passed on', () => {
    const { target, said, passed, taken } = follow(() => true);
    const octets = Buffer.concat([
      text('one'),
      frame(0x82, Buffer.from('two')),
      text(''),
      text('x'.repeat(300)),
    ]);
    new FrameReader().push(octets, target);
    expect(said).toEqual(['message one', 'message two', 'message ', `message ${'x'.repeat(300)}`]);
    expect([taken(), passed.betweenMessages]).toEqual([4, true]);
  });

  test.each([
    ['a ping', frame(0x89, Buffer.from('?')), ['control ?']],
    ['a close', frame(0x88, Buffer.from([3, 232])), [`control ${Buffer.from([3, 232])}`]],
    ['a length of 64 bits', frame(0x81, Buffer.from('wide'), true), ['message wide']],
    [
      'fragments (RFC 6455 §5.4), a ping among them',
      Buffer.concat([
        frame(0x01, Buffer.from('a')),
        frame(0x89, Buffer.from('?')),
        frame(0x00, Buffer.from('b')),
        frame(0x80, Buffer.from('c')),
      ]),
      ['control ?', 'message abc'],
    ],
  ])('%s is passed on, between two that are taken', (_, octets, expected) => {
    const { target, said, taken } = follow(() => true);
    new FrameReader().push(Buffer.concat([text('before'), octets, text('behind')]), target);
    expect(said).toEqual(['message before', ...expected, 'message behind']);
    expect(taken()).toBe(2);
  });

  test('a message amid the fragments of another is left to ws, which ends the connection', () => {
    const { target, taken } = follow(() => true);
    new FrameReader().push(Buffer.concat([frame(0x01, Buffer.from('a')), text('b')]), target);
    expect(taken()).toBe(0);
  });

  test.each([
    ['masked, which a server does not do (RFC 6455 §5.1)', Buffer.from([0x81, 0x80, 0, 0, 0, 0])],
    [
      'with a bit that no extension gave a meaning',
      Buffer.concat([Buffer.from([0xc1, 1]), Buffer.from('x')]),
    ],
    ['longer than anything', Buffer.from([0x81, 127, 255, 255, 255, 255, 255, 255, 255, 255])],
  ])('%s: passed on as it is', (_, octets) => {
    const passed: Buffer[] = [];
    const reader = new FrameReader();
    const pass = (some: Buffer) => void passed.push(Buffer.from(some));
    const take = () => expect.unreachable('it must not be taken');
    reader.push(octets, { takes: true, take, pass });
    reader.push(octets, { takes: true, take, pass });
    expect(Buffer.concat(passed)).toEqual(Buffer.concat([octets, octets]));
  });

  test('in any pieces, taken or not: each once, in order', () => {
    const payload = fc
      .tuple(fc.nat(), fc.oneof(fc.nat(40), fc.constantFrom(0, 125, 126, 127, 3000, 65_535, 65_536, 70_000)))
      .map(([n, length]) => Buffer.from(String(n).padEnd(length, '.')));
    const one = fc.oneof(
      payload.map((of) => ({ octets: frame(0x81, of), said: [`message ${of}`] })),
      payload.map((of) => ({ octets: frame(0x82, of, true), said: [`message ${of}`] })),
      fc
        .constantFrom(0x89, 0x8a)
        .map((opcode) => ({ octets: frame(opcode, Buffer.from('!')), said: ['control !'] })),
      fc.array(payload, { minLength: 2, maxLength: 4 }).map((parts) => ({
        octets: Buffer.concat(
          parts.map((of, i) => frame((i === 0 ? 1 : 0) | (i === parts.length - 1 ? 0x80 : 0), of)),
        ),
        said: [`message ${Buffer.concat(parts)}`],
      })),
    );
    const sizes = fc.array(fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 60_000 })), {
      minLength: 1,
    });
    let everTaken = 0;
    fc.assert(
      fc.property(
        fc.array(one, { maxLength: 12 }),
        sizes,
        fc.array(fc.boolean(), { minLength: 1 }),
        (all, cut, may) => {
          let asked = 0;
          const { target, said, passed, taken } = follow(() => may[asked++ % may.length]!);
          const octets = Buffer.concat(all.map((each) => each.octets));
          // Octets one by one are slow, of much.
          const pieces = octets.length > 20_000 ? cut.map((size) => size * 100) : cut;
          pushAll(
            new FrameReader(),
            target,
            octets,
            pieces.map((size) => Math.min(size, 1 << 16)),
          );
          expect(said).toEqual(all.flatMap((each) => each.said));
          expect(passed.betweenMessages).toBe(true);
          everTaken += taken();
        },
      ),
    );
    expect(everTaken).toBeGreaterThan(20);
  });
});
