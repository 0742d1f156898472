import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { StreamLimits, StreamSet } from '../../../proto/quic/streams/index.ts';
import { StreamSet as Streams } from '../../../proto/quic/streams/index.ts';
import { concat, equalOctets } from '../../../proto/wire/index.ts';
import { type FlyingPacket, Link, pattern, readFrames } from './link.ts';

const limits: StreamLimits = {
  initialMaxData: 30_000,
  initialMaxStreamDataBidiLocal: 20_000,
  initialMaxStreamDataBidiRemote: 20_000,
  initialMaxStreamDataUni: 20_000,
  initialMaxStreamsBidi: 10,
  initialMaxStreamsUni: 10,
};

function drain(set: StreamSet, streamId: number, maxOctets: number, into: Uint8Array[]): boolean {
  for (let read = set.readStream(streamId, maxOctets); read; read = set.readStream(streamId, maxOctets)) {
    expect(read.data.length).toBeLessThanOrEqual(maxOctets);
    into.push(read.data);
    if (read.fin) return true;
  }
  return false;
}

describe('reassembly', () => {
  test('gives the same octets whatever the order, overlap and repetition of frames', () => {
    const pieces = fc.array(fc.tuple(fc.nat(9999), fc.integer({ min: 1, max: 5000 })), { maxLength: 60 });
    fc.assert(
      fc.property(fc.nat(10_000), pieces, fc.integer({ min: 1, max: 9000 }), (size, cuts, maxOctets) => {
        const set = new Streams({ role: 'server', local: limits });
        const whole = pattern(3, 0, size);
        const got: Uint8Array[] = [];
        let ended = false;
        for (const [at, length] of cuts) {
          const start = Math.min(at, size);
          const end = Math.min(size, start + length);
          set.onStream(2, start, whole.slice(start, end), end === size);
          if (at % 2 === 0) ended ||= drain(set, 2, maxOctets, got);
        }
        set.onStream(2, 0, whole.slice(), true);
        ended ||= drain(set, 2, maxOctets, got);
        expect(ended).toBe(true);
        expect(equalOctets(concat(got), whole)).toBe(true);
        expect(set.openStreams).toBe(0);
      }),
      { numRuns: 300 },
    );
  });

  test('keeps what was read apart from what comes later', () => {
    const set = new Streams({ role: 'server', local: limits });
    set.onStream(2, 0, pattern(1, 0, 100), false);
    const first = set.readStream(2)!.data;
    set.onStream(2, 50, pattern(9, 50, 100), false);
    expect(first).toEqual(pattern(1, 0, 100));
    expect(set.readStream(2)!.data).toEqual(pattern(9, 100, 50));
  });

  test('does not keep the octets of the datagram', () => {
    const set = new Streams({ role: 'server', local: limits });
    const datagram = pattern(1, 0, 100);
    set.onStream(2, 0, datagram, true);
    datagram.fill(0);
    expect(set.readStream(2)!.data).toEqual(pattern(1, 0, 100));
  });
});

/** What happens next to the link: chosen by fast-check, so that a failure shrinks. */
type Step =
  | { readonly type: 'write'; readonly stream: number; readonly octets: number }
  | { readonly type: 'send'; readonly octets: number }
  | { readonly type: 'deliver' | 'lose' | 'repeat' | 'acknowledge'; readonly which: number }
  | { readonly type: 'read'; readonly stream: number; readonly octets: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ type: fc.constant('write' as const), stream: fc.nat(2), octets: fc.nat(4000) }),
  fc.record({ type: fc.constant('send' as const), octets: fc.integer({ min: 40, max: 1400 }) }),
  fc.record({
    type: fc.constantFrom('deliver' as const, 'lose' as const, 'repeat' as const, 'acknowledge' as const),
    which: fc.nat(50),
  }),
  fc.record({
    type: fc.constant('read' as const),
    stream: fc.nat(2),
    octets: fc.integer({ min: 1, max: 5000 }),
  }),
);

/** One client that writes three streams to one server, over a network that the steps command. */
class Rehearsal {
  readonly link = new Link(limits);
  readonly ids = [0, 1, 2].map(() => this.link.client.openStream('unidirectional')!);
  readonly written = [0, 0, 0];
  readonly got: Uint8Array[][] = [[], [], []];
  readonly ended = [false, false, false];
  /** Sent and of unknown fate, and those that arrived and may be acknowledged. */
  #flying: FlyingPacket[] = [];
  #arrived: FlyingPacket[] = [];

  apply(next: Step): void {
    if (next.type === 'write') this.write(next.stream, next.octets, false);
    else if (next.type === 'send') this.send(next.octets);
    else if (next.type === 'read') this.read(next.stream, next.octets);
    else if (next.type === 'acknowledge') this.#acknowledge(next.which);
    else this.#settle(next.type, next.which);
  }

  write(stream: number, octets: number, fin: boolean): void {
    const data = pattern(stream, this.written[stream]!, octets);
    this.written[stream]! += octets;
    this.link.client.writeStream(this.ids[stream]!, data, fin);
  }

  send(octets: number): void {
    for (const side of [this.link.client, this.link.server]) {
      const packet = this.link.packetOf(side, octets);
      if (packet) this.#flying.push(packet);
    }
  }

  read(stream: number, octets: number): void {
    const id = this.ids[stream]!;
    // Streams open as packets arrive; before that there is nothing to read.
    if (this.#opened < stream + 1 || this.ended[stream]) return;
    this.ended[stream] = drain(this.link.server, id, octets, this.got[stream]!);
  }

  #opened = 0;

  #deliver(packet: FlyingPacket): void {
    readFrames(packet.payload, packet.to);
    for (let event = this.link.server.poll(); event; event = this.link.server.poll()) {
      if (event.type === 'streamOpened') this.#opened++;
    }
  }

  #settle(fate: 'deliver' | 'lose' | 'repeat', which: number): void {
    if (this.#flying.length === 0) return;
    const at = which % this.#flying.length;
    const packet = this.#flying[at]!;
    if (fate !== 'lose') this.#deliver(packet);
    if (fate === 'repeat') return;
    this.#flying.splice(at, 1);
    if (fate === 'deliver') this.#arrived.push(packet);
    else for (const retransmit of packet.retransmits) packet.from.onLost(retransmit);
  }

  /** A packet that arrived is acknowledged, or held for lost although it arrived. */
  #acknowledge(which: number): void {
    if (this.#arrived.length === 0) return;
    const [packet] = this.#arrived.splice(which % this.#arrived.length, 1);
    for (const retransmit of packet!.retransmits) {
      if (which % 5 === 0) packet!.from.onLost(retransmit);
      else packet!.from.onDelivered(retransmit);
    }
  }

  finish(): void {
    for (const stream of [0, 1, 2]) this.write(stream, 0, true);
    for (let round = 0; round < 2000 && this.ended.includes(false); round++) {
      this.send(1200);
      while (this.#flying.length > 0) this.#settle('deliver', 0);
      while (this.#arrived.length > 0) this.#acknowledge(1);
      for (const stream of [0, 1, 2]) this.read(stream, 5000);
    }
    // The last credit frames.
    for (let round = 0; round < 10; round++) {
      this.send(1200);
      while (this.#flying.length > 0) this.#settle('deliver', 0);
      while (this.#arrived.length > 0) this.#acknowledge(1);
    }
  }
}

describe('sending', () => {
  test('delivers all octets exactly, whatever is lost, repeated, reordered or wrongly held for lost', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const rehearsal = new Rehearsal();
        for (const next of steps) rehearsal.apply(next);
        rehearsal.finish();
        for (const stream of [0, 1, 2]) {
          expect(rehearsal.ended[stream]).toBe(true);
          const expected = pattern(stream, 0, rehearsal.written[stream]!);
          expect(equalOctets(concat(rehearsal.got[stream]!), expected)).toBe(true);
        }
        const { client, server } = rehearsal.link;
        expect(client.openStreams + server.openStreams).toBe(0);
        expect(client.hasPending() || server.hasPending()).toBe(false);
        const finished: number[] = [];
        for (let event = client.poll(); event; event = client.poll()) {
          if (event.type === 'streamFinished') finished.push(event.streamId);
        }
        expect(finished.sort((a, b) => a - b)).toEqual(rehearsal.ids);
      }),
      { numRuns: 200 },
    );
  });

  test('takes a number of steps in proportion to the octets for one large write and for many small ones', () => {
    const wide = { ...limits, initialMaxData: 2 ** 26, initialMaxStreamDataUni: 2 ** 26 };
    const whole = pattern(1, 0, 1_000_000);
    for (const chunk of [1_000_000, 100]) {
      const link = new Link(wide);
      const id = link.client.openStream('unidirectional')!;
      for (let at = 0; at < 1_000_000; at += chunk) {
        link.client.writeStream(id, whole.subarray(at, at + chunk), at + chunk === 1_000_000);
      }
      let packets = 0;
      const got: Uint8Array[] = [];
      for (let packet = link.packetOf(link.client); packet; packet = link.packetOf(link.client)) {
        packets++;
        readFrames(packet.payload, link.server);
        for (const retransmit of packet.retransmits) link.client.onDelivered(retransmit);
        drain(link.server, id, 65_536, got);
      }
      expect(packets).toBeLessThan(1_000_000 / 1180);
      expect(equalOctets(concat(got), whole)).toBe(true);
    }
  });
});
