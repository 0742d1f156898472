import type { Writer } from '../../../wire/index.ts';
import { decodeFrames, type Frame } from '../../frames/index.ts';
import {
  finishPacket,
  MIN_INITIAL_DATAGRAM_OCTETS,
  type PacketSealer,
  packetNumberLength,
  writeLongHeader,
  writeShortHeader,
} from '../../packet/index.ts';
import { TAG_OCTETS } from '../../protection/index.ts';
import type { SpaceState } from '../space-state.ts';
import type { ConnectionState } from '../state.ts';
import type { Payload } from './retransmit.ts';

/** Room for frames below which no packet is begun. */
const MIN_PAYLOAD_ROOM = 16;
/** Header protection needs four octets from the packet number on (RFC 9001 §5.4.2). */
const MIN_SAMPLED_OCTETS = 4;

export interface DraftedPacket {
  readonly space: SpaceState;
  readonly packetNumber: number;
  readonly payload: Payload;
  /** Octets of the packet with its tag; set by `seal`. */
  octets: number;
  inFlight: boolean;
  readonly start: number;
  readonly packetNumberAt: number;
  readonly numberLength: 1 | 2 | 3 | 4;
  payloadEnd: number;
  /** What it says, for an observer that wants frames. */
  frames: readonly Frame[] | undefined;
}

/**
 * One datagram being written: packets of several spaces one after the other, in the clear, then filled up and sealed
 * when it is known which one is the last (RFC 9000 §12.2).
 */
export class DatagramDraft {
  readonly #state: ConnectionState;
  readonly #packets: DraftedPacket[] = [];
  readonly #writer: Writer;
  readonly #start: number;
  /** Index after what may be written, the last tag included. */
  readonly #limit: number;
  #open: DraftedPacket | undefined;
  #end: number;

  /** One draft at a time: all connections of an endpoint write into one slab, and a draft has it until `take`. */
  constructor(state: ConnectionState, room: number) {
    this.#state = state;
    this.#writer = state.slab.begin(room);
    this.#start = state.slab.at;
    this.#limit = this.#start + room;
    this.#end = this.#start;
  }

  /** Where frames of the begun packet go; what remains leaves room for the tag. */
  get writer(): Writer {
    return this.#writer;
  }

  /** Begins a packet to the peer's CID in use, or `to` another one of it; `undefined` when there is no room for one. */
  begin(space: SpaceState, to?: Uint8Array): Payload | undefined {
    const { remoteIds, localSourceId, retryToken, keys } = this.#state;
    const token = space.name === 'initial' ? retryToken : NO_TOKEN;
    const destination = to ?? remoteIds.current;
    const header =
      space.name === 'application'
        ? 1 + destination.length + 4
        : 1 + 4 + 2 + destination.length + localSourceId.length + 8 + token.length + 2 + 4;
    if (this.#limit - this.#end < header + TAG_OCTETS + MIN_PAYLOAD_ROOM) return undefined;
    const start = this.#end;
    const writer = this.#writer;
    writer.offset = start;
    writer.limit = this.#limit - TAG_OCTETS;
    const packetNumber = space.nextPacketNumber;
    const numberLength = packetNumberLength(
      packetNumber,
      space.largestAcked < 0 ? undefined : space.largestAcked,
    );
    const { zeroFixedBit } = this.#state;
    const packetNumberAt =
      space.name === 'application'
        ? writeShortHeader(
            writer,
            destination,
            keys.application!.keyPhase,
            packetNumber,
            numberLength,
            spinOf(destination),
            zeroFixedBit,
          )
        : writeLongHeader(
            writer,
            {
              type: space.name,
              destinationConnectionId: destination,
              sourceConnectionId: localSourceId,
              token,
            },
            packetNumber,
            numberLength,
            zeroFixedBit,
          );
    const payload: Payload = { retransmits: [], ackEliciting: false, fillDatagram: false };
    this.#open = {
      space,
      packetNumber,
      payload,
      octets: 0,
      inFlight: false,
      start,
      packetNumberAt,
      numberLength,
      payloadEnd: writer.offset,
      frames: undefined,
    };
    return payload;
  }

  /** Ends the begun packet; one without frames is taken back. */
  end(): void {
    const packet = this.#open;
    this.#open = undefined;
    if (packet === undefined || this.#writer.offset === packet.payloadEnd) return;
    packet.payloadEnd = this.#writer.offset;
    packet.inFlight = packet.payload.ackEliciting;
    const missing = MIN_SAMPLED_OCTETS - (packet.payloadEnd - packet.packetNumberAt);
    if (missing > 0) this.#pad(packet, missing);
    packet.space.nextPacketNumber += 1;
    this.#packets.push(packet);
    this.#end = packet.payloadEnd + TAG_OCTETS;
  }

  /** Fills the datagram up where that is due and protects its packets. */
  seal(): readonly DraftedPacket[] {
    const last = this.#packets[this.#packets.length - 1];
    if (last === undefined) return [];
    const missing = Math.min(this.#limit, this.#start + this.#fillTo()) - this.#end;
    if (missing > 0) {
      this.#pad(last, missing);
      last.inFlight = true;
      this.#end += missing;
    }
    for (const packet of this.#packets) this.#protect(packet);
    return this.#packets;
  }

  /** Octets that the datagram must have. */
  #fillTo(): number {
    for (const { space, payload } of this.#packets) {
      // RFC 9000 §14.1: all Initials of a client, those of a server that ask for an acknowledgement.
      if (space.name === 'initial' && (this.#state.isClient || payload.ackEliciting))
        return MIN_INITIAL_DATAGRAM_OCTETS;
      if (payload.mtuProbeOctets !== undefined) return payload.mtuProbeOctets;
      if (payload.fillDatagram) return MIN_INITIAL_DATAGRAM_OCTETS;
    }
    return 0;
  }

  #protect(packet: DraftedPacket): void {
    const writer = this.#writer;
    writer.offset = packet.payloadEnd;
    writer.limit = this.#limit;
    const { start, packetNumberAt, numberLength, packetNumber } = packet;
    if (this.#state.observer.wantsFrames) packet.frames = this.#readBack(packet);
    finishPacket(writer, this.#sealer(packet.space), start, packetNumberAt, numberLength, packetNumber);
    packet.octets = writer.offset - start;
  }

  /** The frames as the peer will read them; copied, as the slab is about to be encrypted. */
  #readBack({ space, packetNumberAt, numberLength, payloadEnd }: DraftedPacket): readonly Frame[] {
    const payload = this.#writer.data.slice(packetNumberAt + numberLength, payloadEnd);
    return decodeFrames(payload, space.name === 'application' ? 'oneRtt' : space.name, this.#state.role)
      .frames;
  }

  #sealer(space: SpaceState): PacketSealer {
    const { keys } = this.#state;
    if (space.name === 'application') return keys.application!;
    return space.name === 'initial' ? keys.initial!.send : keys.handshake!.send;
  }

  /** The finished datagram, in octets that are not written to again. */
  take(): Uint8Array {
    return this.#state.slab.take(this.#end);
  }

  #pad(packet: DraftedPacket, octets: number): void {
    this.#writer.data.fill(0, packet.payloadEnd, packet.payloadEnd + octets);
    packet.payloadEnd += octets;
  }
}

/** Whether packets of the space can be protected: keys have come, and are not discarded. */
export function hasKeys({ keys }: ConnectionState, space: SpaceState): boolean {
  if (space.name === 'initial') return keys.initial !== undefined;
  return space.name === 'handshake' ? keys.handshake !== undefined : keys.application !== undefined;
}

/** We do not spin: the bit has a random value for each CID, that of a bit of the CID itself (RFC 9000 §17.4). */
function spinOf(destination: Uint8Array): boolean {
  return destination.length > 0 && (destination[destination.length - 1]! & 1) === 1;
}

const NO_TOKEN = new Uint8Array(0);
