import { type StreamLimits, type StreamRetransmit, StreamSet } from '../../../proto/quic/streams/index.ts';
import { Reader, Writer } from '../../../proto/wire/index.ts';

/** A frame as its type and its integers; a STREAM frame as type without bits, ID, offset, length, fin. */
export type FrameRow = readonly number[];

/** `length` octets that count up from `first`, modulo 251. */
export function octetsOf(length: number, first = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (first + i) % 251);
}

/** Octets of the stream `seed` at `offset`: tells streams and offsets apart. */
export function pattern(seed: number, offset: number, length: number): Uint8Array {
  const out = new Uint8Array(length);
  for (let i = 0; i < length; i++) out[i] = seed * 31 + (offset + i) * 7 + ((offset + i) >> 8);
  return out;
}

/** What is in a payload of stream frames; hands each one to `set` when given. */
export function readFrames(payload: Uint8Array, set?: StreamSet): FrameRow[] {
  const reader = new Reader(payload);
  const rows: FrameRow[] = [];
  while (!reader.done) {
    const type = reader.u8();
    if (type >= 0x08 && type <= 0x0f) {
      const id = reader.varint();
      const offset = type & 0x04 ? reader.varint() : 0;
      const data = reader.bytes(reader.varint());
      rows.push([0x08, id, offset, data.length, type & 1]);
      set?.onStream(id, offset, data, (type & 1) === 1);
      continue;
    }
    const counts: Record<number, number> = {
      4: 3,
      36: 4,
      5: 2,
      16: 1,
      17: 2,
      18: 1,
      19: 1,
      20: 1,
      21: 2,
      22: 1,
      23: 1,
    };
    const fields = Array.from({ length: counts[type]! }, () => reader.varint());
    rows.push([type, ...fields]);
    if (set) deliver(set, type, fields);
  }
  return rows;
}

function deliver(set: StreamSet, type: number, [a = 0, b = 0, c = 0, d = 0]: readonly number[]): void {
  if (type === 0x04) set.onResetStream(a, b, c);
  if (type === 0x24) set.onResetStream(a, b, c, d);
  if (type === 0x05) set.onStopSending(a, b);
  if (type === 0x10) set.onMaxData(a);
  if (type === 0x11) set.onMaxStreamData(a, b);
  if (type === 0x12) set.onMaxStreams('bidirectional', a);
  if (type === 0x13) set.onMaxStreams('unidirectional', a);
  if (type === 0x14) set.onDataBlocked(a);
  if (type === 0x15) set.onStreamDataBlocked(a, b);
  if (type === 0x16) set.onStreamsBlocked('bidirectional', a);
  if (type === 0x17) set.onStreamsBlocked('unidirectional', a);
}

export interface FlyingPacket {
  readonly from: StreamSet;
  readonly to: StreamSet;
  readonly payload: Uint8Array;
  readonly retransmits: readonly StreamRetransmit[];
}

/** Two stream sets and the packets between them. */
export class Link {
  readonly client: StreamSet;
  readonly server: StreamSet;
  /** Every frame that `run` delivered. */
  readonly log: FrameRow[] = [];

  constructor(limits: StreamLimits) {
    this.client = new StreamSet({ role: 'client', local: limits });
    this.server = new StreamSet({ role: 'server', local: limits });
    this.client.setPeerLimits(limits);
    this.server.setPeerLimits(limits);
  }

  /** The next packet of a side, if it has one. */
  packetOf(from: StreamSet, octets = 1200): FlyingPacket | undefined {
    if (!from.hasPending()) return undefined;
    const writer = new Writer(new Uint8Array(octets));
    const retransmits: StreamRetransmit[] = [];
    const wrote = from.writeFrames(writer, retransmits);
    if (wrote !== writer.offset > 0) throw new Error('writeFrames misreports whether it wrote');
    if (!wrote) return undefined;
    const to = from === this.client ? this.server : this.client;
    return { from, to, payload: writer.finish(), retransmits };
  }

  /** Delivers and acknowledges everything, both ways, until nothing is left to send. */
  run(): void {
    for (let rounds = 0; rounds < 1000; rounds++) {
      const packet = this.packetOf(this.client) ?? this.packetOf(this.server);
      if (!packet) return;
      this.log.push(...readFrames(packet.payload, packet.to));
      for (const retransmit of packet.retransmits) packet.from.onDelivered(retransmit);
    }
    throw new Error('the two sides never stop talking');
  }

  /** Frames of up to `count` packets, which are thrown away. */
  packetsOf(from: StreamSet, octets: number, count = 1000): FrameRow[][] {
    const rows: FrameRow[][] = [];
    while (rows.length < count) {
      const packet = this.packetOf(from, octets);
      if (!packet) break;
      rows.push(readFrames(packet.payload));
    }
    return rows;
  }

  /** The next packet's frames; the packet is thrown away. */
  framesOf(from: StreamSet, octets = 1200): FrameRow[] {
    return this.retransmitsOf(from, octets).frames;
  }

  retransmitsOf(
    from: StreamSet,
    octets = 1200,
  ): { frames: FrameRow[]; retransmits: readonly StreamRetransmit[] } {
    const packet = this.packetOf(from, octets);
    return packet
      ? { frames: readFrames(packet.payload), retransmits: packet.retransmits }
      : { frames: [], retransmits: [] };
  }
}
