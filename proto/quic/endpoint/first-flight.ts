import { type PeekedName, peekServerName } from '../../client-hello/index.ts';
import { CipherSuite } from '../../tls/index.ts';
import { equalOctets } from '../../wire/index.ts';
import { RangeSet } from '../ack/index.ts';
import { ConnectionKeys } from '../connection/handshake/keys.ts';
import { TransportError } from '../errors.ts';
import { decodeFrames } from '../frames/index.ts';
import { type LongPacket, parsePacket } from '../packet/index.ts';
import { deriveInitialSecrets, PacketKeys } from '../protection/index.ts';
import type { Datagram } from '../types.ts';

/** Longest ClientHello that is put together, in octets: one with post-quantum key shares and tickets has some 2500. */
const MAX_PEEKED_OCTETS = 8192;
/** Separate pieces of it; Chromium cuts one into tens. */
const MAX_PEEKED_PIECES = 128;
/** Datagrams of one client that wait for its server_name, and their octets. */
export const MAX_HELD_DATAGRAMS = 8;
const MAX_HELD_OCTETS = 16_384;
/** Packets in one datagram that are looked at. */
const MAX_COALESCED = 4;

export type FlightOutcome = PeekedName | 'unauthentic';

/** Nothing that steering could go by: the handshake deals with it. */
const NO_NAME: PeekedName = Object.freeze({ complete: true, serverName: undefined });
const INCOMPLETE: PeekedName = Object.freeze({ complete: false });

/**
 * The first datagrams of a client, before it has a connection: kept until its ClientHello says which server it names, which may
 * take several, in any order (RFC 9001 §4.3).
 */
export class FirstFlight {
  /** In the order of their arrival. */
  readonly held: Datagram[] = [];
  #heldOctets = 0;
  readonly expiresAt: number;
  readonly #destination: Uint8Array;
  readonly #source: Uint8Array;
  /** Keys of its Initial packets, by their Destination CID (RFC 9001 §5.2): those of the other direction are made when wanted. */
  readonly #receive: PacketKeys;
  readonly #serverSecret: Uint8Array;
  #hello = new Uint8Array(0);
  readonly #pieces = new RangeSet();
  #expectedNumber = 0;

  constructor(packet: LongPacket, expiresAt: number) {
    this.#destination = packet.destinationConnectionId.slice();
    this.#source = packet.sourceConnectionId.slice();
    const { client, server } = deriveInitialSecrets(this.#destination);
    this.#receive = new PacketKeys(CipherSuite.TLS_AES_128_GCM_SHA256, client);
    this.#serverSecret = server;
    this.expiresAt = expiresAt;
  }

  /** Keys for the connection that it becomes. */
  keys(): ConnectionKeys {
    const keys = new ConnectionKeys('server');
    const send = new PacketKeys(CipherSuite.TLS_AES_128_GCM_SHA256, this.#serverSecret);
    keys.initial = { receive: this.#receive, send };
    return keys;
  }

  /** Octets that it keeps. */
  get octets(): number {
    return this.#heldOctets + this.#hello.length;
  }

  /** The ClientHello as far as it is here, with gaps. */
  get data(): Uint8Array {
    return this.#hello;
  }

  has(start: number, end: number): boolean {
    const { length } = this.#pieces;
    for (let i = 0; i < length; i++)
      if (this.#pieces.startAt(i) <= start && this.#pieces.endAt(i) >= end) return true;
    return false;
  }

  /** Keeps a copy of a datagram that has to wait. False when there are too many. */
  hold({ data, path, via }: Datagram): boolean {
    if (this.held.length >= MAX_HELD_DATAGRAMS || this.#heldOctets + data.length > MAX_HELD_OCTETS)
      return false;
    const copy = data.slice();
    this.held.push(via === undefined ? { data: copy, path } : { data: copy, path, via });
    this.#heldOctets += copy.length;
    return true;
  }

  /** Reads the Initial packets of a datagram; `first` is its first one. Never throws. */
  read(data: Uint8Array, first: LongPacket): FlightOutcome {
    // The connection that it may become would drop packets with another Source CID.
    if (!equalOctets(first.sourceConnectionId, this.#source)) return 'unauthentic';
    let packet = first;
    for (let n = 0; n < MAX_COALESCED; n++) {
      const payload = this.#open(data, packet);
      if (payload === undefined && n === 0) return 'unauthentic';
      if (payload !== undefined && !this.#take(payload)) return NO_NAME;
      const next = packet.end < data.length ? parsePacket(data, packet.end, 0) : undefined;
      if (next?.type !== 'initial' || !equalOctets(next.destinationConnectionId, this.#destination)) break;
      packet = next;
    }
    return this.#pieces.isEmpty ? INCOMPLETE : peekServerName(this);
  }

  #open(data: Uint8Array, packet: LongPacket): Uint8Array | undefined {
    try {
      const opened = this.#receive.open(
        data,
        packet.start,
        packet.packetNumberAt,
        packet.end,
        this.#expectedNumber,
      );
      if (opened === undefined) return undefined;
      this.#expectedNumber = Math.max(this.#expectedNumber, opened.packetNumber + 1);
      return opened.payload;
    } catch (error) {
      if (error instanceof TransportError) return undefined;
      throw error;
    }
  }

  /** Takes the CRYPTO frames of a packet (RFC 9000 §19.6). False for what a handshake should judge: a violation, or too much. */
  #take(payload: Uint8Array): boolean {
    try {
      for (const frame of decodeFrames(payload, 'initial', 'client').frames)
        if (frame.type === 'crypto' && !this.#add(frame.offset, frame.data)) return false;
        else if (frame.type === 'connectionClose') return false;
      return true;
    } catch (error) {
      if (error instanceof TransportError) return false;
      throw error;
    }
  }

  #add(offset: number, data: Uint8Array): boolean {
    const end = offset + data.length;
    if (end > MAX_PEEKED_OCTETS) return false;
    if (end > this.#hello.length) {
      const grown = new Uint8Array(Math.min(MAX_PEEKED_OCTETS, Math.max(end, this.#hello.length * 2)));
      grown.set(this.#hello);
      this.#hello = grown;
    }
    this.#hello.set(data, offset);
    this.#pieces.add(offset, end);
    return this.#pieces.length <= MAX_PEEKED_PIECES;
  }
}
