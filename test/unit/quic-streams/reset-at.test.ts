import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import type {
  StreamEvent,
  StreamLimits,
  StreamRetransmit,
  StreamSet,
} from '../../../proto/quic/streams/index.ts';
import { concat, equalOctets } from '../../../proto/wire/index.ts';
import { type FlyingPacket, Link, octetsOf, pattern, readFrames } from './link.ts';

const RESET = 0x04;
const RESET_AT = 0x24;

const limits: StreamLimits = {
  initialMaxData: 10_000,
  initialMaxStreamDataBidiLocal: 4000,
  initialMaxStreamDataBidiRemote: 4000,
  initialMaxStreamDataUni: 4000,
  initialMaxStreamsBidi: 4,
  initialMaxStreamsUni: 4,
  resetStreamAt: true,
};

let link: Link;
let client: StreamSet;
let server: StreamSet;

beforeEach(() => {
  link = new Link(limits);
  client = link.client;
  server = link.server;
});

function events(set: StreamSet): StreamEvent[] {
  const out: StreamEvent[] = [];
  for (let event = set.poll(); event; event = set.poll()) out.push(event);
  return out;
}

const types = (set: StreamSet): string[] => events(set).map(({ type }) => type);

function lose(retransmits: readonly StreamRetransmit[]): void {
  for (const retransmit of retransmits) client.onLost(retransmit);
}

function acknowledge(retransmits: readonly StreamRetransmit[]): void {
  for (const retransmit of retransmits) client.onDelivered(retransmit);
}

/** A stream of the client with `octets` written and sent once, all of it lost or on its way. */
function sentStream(octets: number): { id: number; retransmits: readonly StreamRetransmit[] } {
  const id = client.openStream('unidirectional')!;
  client.writeStream(id, octetsOf(octets));
  const { retransmits } = link.retransmitsOf(client, 4000);
  return { id, retransmits };
}

describe('sending a reset that still delivers', () => {
  test('lost octets below the reliable size go again, those above it do not', () => {
    const { id, retransmits } = sentStream(1000);
    client.resetStream(id, 7, 10);
    expect(link.framesOf(client)).toEqual([[RESET_AT, id, 7, 1000, 10]]);
    lose(retransmits);
    expect(link.framesOf(client)).toEqual([[0x08, id, 0, 10, 0]]);
    expect(client.hasPending()).toBe(false);
  });

  test('octets that were never sent go before the reset, and with them its final size is known', () => {
    const id = client.openStream('unidirectional')!;
    client.writeStream(id, octetsOf(1000), true);
    client.resetStream(id, 7, 600);
    expect(client.streamBufferedOctets(id)).toBe(600);
    expect(link.framesOf(client, 300).map(([type]) => type)).toEqual([0x08]);
    const rest = link.framesOf(client, 1200);
    expect(rest.map(([type]) => type)).toEqual([0x08, RESET_AT]);
    // No FIN: the stream ends by its reset.
    expect(rest[0]![4]).toBe(0);
    expect(rest[1]).toEqual([RESET_AT, id, 7, 600, 600]);
    expect(client.streamBufferedOctets(id)).toBe(0);
  });

  test('octets beyond what was written cannot be reliable', () => {
    const { id } = sentStream(5);
    client.resetStream(id, 7, 100);
    expect(link.framesOf(client)).toEqual([[RESET_AT, id, 7, 5, 5]]);
  });

  test('a peer that does not offer it gets RESET_STREAM', () => {
    link = new Link({ ...limits, resetStreamAt: false });
    client = link.client;
    const { id, retransmits } = sentStream(1000);
    client.resetStream(id, 7, 10);
    lose(retransmits);
    expect(link.framesOf(client)).toEqual([[RESET, id, 7, 1000]]);
  });

  test('flow control holds the reset back as long as it holds the octets before it', () => {
    const id = client.openStream('unidirectional')!;
    client.writeStream(id, octetsOf(5000));
    client.resetStream(id, 7, 4500);
    const first = link.framesOf(client, 6000);
    expect(first.map(([type]) => type)).toEqual([0x08, 0x15]);
    client.onMaxStreamData(id, 8000);
    expect(link.framesOf(client)).toEqual([
      [0x08, id, 4000, 500, 0],
      [RESET_AT, id, 7, 4500, 4500],
    ]);
  });

  test('the reset and what it delivers are acknowledged in any order before the stream is over', () => {
    for (const resetFirst of [true, false]) {
      const { id, retransmits } = sentStream(1000);
      client.resetStream(id, 7, 10);
      const reset = link.retransmitsOf(client).retransmits;
      acknowledge(resetFirst ? reset : retransmits);
      expect(client.openStreams).toBe(1);
      acknowledge(resetFirst ? retransmits : reset);
      expect(client.openStreams).toBe(0);
      expect(types(client)).not.toContain('streamFinished');
    }
  });

  test('a second reset may deliver less, keeps the code, and only its own ACK counts', () => {
    const { id, retransmits } = sentStream(1000);
    client.resetStream(id, 7, 100);
    const first = link.retransmitsOf(client).retransmits;
    client.resetStream(id, 8, 200);
    expect(client.hasPending()).toBe(false);
    client.resetStream(id, 8, 10);
    const second = link.retransmitsOf(client);
    expect(second.frames).toEqual([[RESET_AT, id, 7, 1000, 10]]);
    acknowledge(retransmits);
    lose(first);
    expect(client.hasPending()).toBe(false);
    acknowledge(first);
    expect(client.openStreams).toBe(1);
    acknowledge(second.retransmits);
    expect(client.openStreams).toBe(0);
  });

  test('STOP_SENDING takes away what was still to be delivered, and is not told after a reset', () => {
    const { id, retransmits } = sentStream(1000);
    client.resetStream(id, 7, 100);
    link.framesOf(client);
    client.onStopSending(id, 9);
    lose(retransmits);
    expect(link.framesOf(client)).toEqual([[RESET, id, 7, 1000]]);
    expect(types(client)).not.toContain('streamStopped');
  });

  test('keeps the octets that may go again, and no others', () => {
    const id = client.openStream('unidirectional')!;
    for (let i = 0; i < 10; i++) client.writeStream(id, octetsOf(100));
    link.framesOf(client);
    expect(client.heldOctets().sending).toBe(1000);
    client.resetStream(id, 7, 150);
    expect(client.heldOctets().sending).toBe(150);
  });

  test('after all and the FIN were acknowledged a reset says nothing', () => {
    const id = client.openStream('unidirectional')!;
    client.writeStream(id, octetsOf(10), true);
    const { retransmits } = link.retransmitsOf(client);
    client.resetStream(id, 7, 5);
    const reset = link.retransmitsOf(client);
    expect(reset.frames).toEqual([[RESET_AT, id, 7, 10, 5]]);
    acknowledge(retransmits);
    expect(client.openStreams).toBe(0);
    lose(reset.retransmits);
    expect(client.hasPending()).toBe(false);
  });
});

describe('receiving a reset that still delivers', () => {
  const reset = (finalSize: number, reliableSize: number, code = 7): void =>
    server.onResetStream(2, code, finalSize, reliableSize);
  const shown = { type: 'streamReset', streamId: 2, code: 7 };

  test('gives octets up to the reliable size, then the reset, never the rest', () => {
    server.onStream(2, 0, octetsOf(100), false);
    reset(1000, 10);
    expect(types(server)).toEqual(['streamOpened', 'streamReadable']);
    expect(server.readStream(2)).toEqual({ data: octetsOf(10), fin: false });
    expect(events(server)).toEqual([shown]);
    expect(server.readStream(2)).toBeUndefined();
    expect(server.openStreams).toBe(0);
  });

  test('waits for octets that come after it', () => {
    reset(1000, 10);
    expect(types(server)).toEqual(['streamOpened']);
    server.onStream(2, 5, octetsOf(500, 5), false);
    expect(types(server)).toEqual([]);
    server.onStream(2, 0, octetsOf(5), false);
    expect(types(server)).toEqual(['streamReadable']);
    expect(server.readStream(2)).toEqual({ data: octetsOf(10), fin: false });
    expect(events(server)).toEqual([shown]);
  });

  test('shows at once when as much was read before, also when nothing is reliable', () => {
    server.onStream(2, 0, octetsOf(100), false);
    server.readStream(2, 20);
    events(server);
    reset(100, 20);
    expect(events(server)).toEqual([shown]);
    server.onResetStream(6, 7, 0, 0);
    expect(types(server)).toEqual(['streamOpened', 'streamReset']);
  });

  test('all of it reliable, it is still a reset and no end', () => {
    server.onStream(2, 0, octetsOf(10), false);
    reset(10, 10);
    expect(server.readStream(2)).toEqual({ data: octetsOf(10), fin: false });
    expect(types(server)).toContain('streamReset');
  });

  test('a FIN that was overtaken changes nothing', () => {
    reset(10, 4);
    server.onStream(2, 0, octetsOf(10), true);
    expect(server.readStream(2)).toEqual({ data: octetsOf(4), fin: false });
    expect(types(server)).toContain('streamReset');
  });

  test('a lower reliable size is taken, a higher one ignored', () => {
    server.onStream(2, 0, octetsOf(100), false);
    reset(100, 50);
    reset(100, 20);
    reset(100, 90);
    expect(server.readStream(2)).toEqual({ data: octetsOf(20), fin: false });
    expect(events(server)).toContainEqual(shown);
  });

  test('RESET_STREAM after it delivers nothing more', () => {
    server.onStream(2, 0, octetsOf(100), false);
    reset(100, 50);
    server.onResetStream(2, 7, 100);
    expect(events(server)).toContainEqual(shown);
    expect(server.readStream(2)).toBeUndefined();
  });

  test('a reader that stopped sees neither octets nor the reset', () => {
    server.onStream(2, 0, octetsOf(100), false);
    server.stopSending(2, 1);
    reset(100, 50);
    expect(types(server)).not.toContain('streamReset');
    expect(server.openStreams).toBe(0);
  });

  test('stopping it while it waits ends it without STOP_SENDING: all is known', () => {
    reset(100, 50);
    server.stopSending(2, 1);
    expect(server.openStreams).toBe(0);
    expect(link.framesOf(server).filter(([type]) => type === 0x05)).toEqual([]);
  });

  test('keeps no octets that it will not deliver', () => {
    server.onStream(2, 1000, octetsOf(3000), false);
    expect(server.heldOctets().receiving).toBe(4096);
    reset(4000, 500);
    server.onStream(2, 600, octetsOf(400), false);
    server.onStream(2, 0, octetsOf(400), false);
    expect(server.heldOctets().receiving).toBe(4096);
    expect(server.readStream(2)).toEqual({ data: octetsOf(400), fin: false });
    server.onStream(2, 400, octetsOf(600, 400), false);
    expect(server.readStream(2)).toEqual({ data: octetsOf(100, 400), fin: false });
    expect(server.heldOctets().receiving).toBe(0);
  });

  test('its final size is all taken from the connection, and given back when it shows', () => {
    for (const id of [2, 6, 10]) server.onResetStream(id, 7, 3300, 10);
    expect(() => server.onStream(14, 0, octetsOf(101), false)).toThrow(/limit is 10000/);
    for (const id of [2, 6, 10]) {
      server.onStream(id, 0, octetsOf(10), false);
      server.readStream(id);
    }
    // Two of them made half of the window.
    expect(link.framesOf(server)).toContainEqual([0x10, 16_600]);
  });
});

type Step = readonly [what: 'send' | 'deliver' | 'lose' | 'ack' | 'read', which: number];

/** One stream that the client resets while packets are lost, repeated late and acknowledged in any order. */
class Rehearsal {
  readonly link = new Link(limits);
  readonly id = this.link.client.openStream('unidirectional')!;
  readonly got: Uint8Array[] = [];
  readonly seen: StreamEvent[] = [];
  #flying: FlyingPacket[] = [];
  #arrived: FlyingPacket[] = [];

  apply([what, which]: Step): void {
    const from = this.link.client;
    if (what === 'read') this.#read();
    else if (what === 'send') {
      const packet = this.link.packetOf(from, 200 + which * 20);
      if (packet) this.#flying.push(packet);
    } else if (what === 'ack') {
      const [packet] = this.#arrived.splice(which % Math.max(1, this.#arrived.length), 1);
      for (const retransmit of packet?.retransmits ?? []) from.onDelivered(retransmit);
    } else this.#settle(what, which);
  }

  #settle(what: 'deliver' | 'lose', which: number): void {
    const [packet] = this.#flying.splice(which % Math.max(1, this.#flying.length), 1);
    if (packet === undefined) return;
    if (what === 'deliver') {
      readFrames(packet.payload, this.link.server);
      this.#arrived.push(packet);
    } else for (const retransmit of packet.retransmits) this.link.client.onLost(retransmit);
  }

  #read(): void {
    const to = this.link.server;
    this.seen.push(...events(to));
    if (!this.seen.some(({ type }) => type === 'streamOpened')) return;
    for (let part = to.readStream(this.id, 700); part; part = to.readStream(this.id, 700)) {
      expect(part.fin).toBe(false);
      this.got.push(part.data);
    }
    this.seen.push(...events(to));
  }

  finish(): void {
    for (let round = 0; round < 40; round++) {
      this.apply(['send', 40]);
      while (this.#flying.length > 0) this.apply(['deliver', 0]);
      while (this.#arrived.length > 0) this.apply(['ack', 0]);
      this.apply(['read', 0]);
    }
  }
}

describe('over a network that loses, repeats and reorders', () => {
  const step = fc.tuple(
    fc.constantFrom<Step[0]>('send', 'send', 'deliver', 'deliver', 'lose', 'ack', 'read'),
    fc.nat(30),
  );
  const sizes = fc.tuple(fc.nat(3000), fc.nat(3000), fc.nat(3000), fc.nat(20), fc.nat(20));

  test('what is reliable comes once and in order, then the reset, and both sides forget the stream', () => {
    fc.assert(
      fc.property(sizes, fc.array(step, { maxLength: 60 }), ([written, reliable, less, at, again], plan) => {
        const rehearsal = new Rehearsal();
        const { id, got, seen } = rehearsal;
        const { client: from, server: to } = rehearsal.link;
        from.writeStream(id, pattern(1, 0, written));
        plan.forEach((next, index) => {
          if (index === at) from.resetStream(id, 7, reliable);
          if (index === at + again) from.resetStream(id, 7, Math.min(less, reliable));
          rehearsal.apply(next);
        });
        from.resetStream(id, 7, reliable);
        rehearsal.finish();
        const octets = concat(got);
        const reduced = plan.length > at + again ? less : reliable;
        expect(octets.length).toBeGreaterThanOrEqual(Math.min(reduced, reliable, written));
        expect(equalOctets(octets, pattern(1, 0, octets.length))).toBe(true);
        expect(seen.filter(({ type }) => type === 'streamReset')).toHaveLength(1);
        expect(from.openStreams + to.openStreams).toBe(0);
        expect(from.hasPending()).toBe(false);
      }),
      { numRuns: 300 },
    );
  });
});
