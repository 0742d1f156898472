import { encodeFrame, FrameType } from '../../../proto/http3/index.ts';
import { encodeVersionNegotiation } from '../../../proto/invariants/index.ts';
import type { Frame } from '../../../proto/quic/frames/index.ts';
import { UsageError } from '../../../proto/quic/index.ts';
import { buildRetry } from '../../../proto/quic/packet/index.ts';
import { encodeTransportParameters } from '../../../proto/quic/transport-parameters.ts';
import { TlsAlertError } from '../../../proto/tls/index.ts';
import { writeNewSessionTicket } from '../../../proto/tls/messages.ts';
import { concat, encodeVarint, WireError } from '../../../proto/wire/index.ts';
import type { Level, PacketOptions, Part } from '../../support/conformance-packets.ts';
import { RawPeer } from '../../support/conformance-peer.ts';
import { writeFrame } from '../../support/write-frame.ts';
import { anyFrame, anyOctets } from './hostile-frames.ts';
import {
  acceptHead,
  connectHead,
  controlStream,
  http3Frame,
  httpDatagram,
  streamHead,
} from './hostile-http3.ts';
import { PoliteFrames } from './polite-frames.ts';
import { EndpointSubject, EngineSubject, type Subject } from './subject.ts';
import { Finding, guarded, type Tape } from './tape.ts';

const CHUNK_OCTETS = 1000;
/** Steps of one run. */
const MAX_STEPS = 400;

/** A peer that has the keys and no manners, against one side of ours. */
class Adversary {
  readonly #tape: Tape;
  readonly #subject: Subject;
  readonly #peer: RawPeer;
  readonly #offsets = new Map<number, number>();
  readonly #heads = new Map<number, Uint8Array>();
  readonly #kept: Uint8Array[] = [];
  readonly #polite: PoliteFrames;
  /** How many of a hundred steps break rules: a connection that ends at once shows little. */
  readonly #rudeness: number;

  /** The subject is one connection, which only a first packet makes. */
  readonly #mustGreet: boolean;

  constructor(tape: Tape, subject: Subject, peer: RawPeer) {
    this.#mustGreet = subject instanceof EngineSubject;
    this.#tape = tape;
    this.#subject = subject;
    this.#peer = peer;
    this.#polite = new PoliteFrames(tape, peer);
    this.#rudeness = tape.pick([0, 0, 1, 3, 10, 50]);
  }

  run(): void {
    const tape = this.#tape;
    if (this.#mustGreet || tape.chance(85)) this.#shakeHands();
    if (tape.chance(85)) this.#beginHttp3();
    for (let step = 0; step < MAX_STEPS && !tape.ended; step++) {
      this.#attempt(() => this.#step());
      this.#subject.check();
    }
    this.#peer.autoAck = false;
    this.#attempt(() => this.#peer.settle());
    this.#subject.finish(this.#peer.now);
  }

  /** What the adversary itself cannot do is no fault of the other side. */
  #attempt(act: () => void): void {
    try {
      act();
    } catch (error) {
      if (error instanceof TlsAlertError || error instanceof UsageError || error instanceof WireError) return;
      if (error instanceof Error && error.message.startsWith('no keys for')) return;
      if (error instanceof Finding) throw error;
      throw new Finding('the peer can read what is sent', String(error), error);
    }
  }

  #shakeHands(): void {
    this.#attempt(() => {
      this.#peer.settle();
      if (this.#peer.role === 'server' && this.#peer.complete)
        this.#peer.send('oneRtt', { type: 'handshakeDone' });
    });
  }

  #beginHttp3(): void {
    this.#attempt(() => {
      const client = this.#peer.role === 'client';
      this.#write(client ? 2 : 3, controlStream(), false);
      this.#write(0, client ? connectHead() : acceptHead(), false);
      this.#peer.settle();
    });
  }

  /** The next octets of a stream. */
  #write(streamId: number, data: Uint8Array, fin: boolean): void {
    let offset = this.#offsets.get(streamId) ?? 0;
    for (let at = 0; at === 0 || at < data.length; at += CHUNK_OCTETS) {
      const piece = data.subarray(at, at + CHUNK_OCTETS);
      const last = at + CHUNK_OCTETS >= data.length;
      this.#queue('oneRtt', [{ type: 'stream', streamId, offset, data: piece, fin: fin && last }]);
      offset += piece.length;
    }
    this.#offsets.set(streamId, offset);
  }

  #queue(level: Level, parts: readonly Part[], options: PacketOptions = {}): void {
    const packet = this.#peer.packet(level, parts, options);
    if (this.#kept.length < 50) this.#kept.push(packet);
    this.#peer.queueDatagram(packet);
  }

  #step(): void {
    const tape = this.#tape;
    const peer = this.#peer;
    const choice = tape.below(32);
    const rude = tape.chance(this.#rudeness);
    if (choice < 8) rude ? this.#http3() : this.#politeStream();
    else if (choice < 15)
      rude ? this.#frames() : this.#queue('oneRtt', [this.#polite.frame(), this.#polite.frame()]);
    else if (choice < 19) for (const app of this.#subject.apps.values()) app.act(tape, peer.now);
    else if (choice < 22) this.#mangle();
    else if (choice < 26) peer.settle();
    else if (choice < 28) peer.run(tape.pick([1, 10, 100, 1000, 5000]));
    else this.#oddity(choice);
  }

  #politeStream(): void {
    const streamId = this.#polite.sendable();
    if (this.#tape.chance(6)) {
      const finalSize = this.#offsets.get(streamId) ?? 0;
      const code = this.#tape.integer();
      // What it still delivers may be lost, come later, or be reduced: the code stays the same then.
      const reliableSize = this.#tape.below(finalSize + 1);
      const reset: Frame = this.#tape.chance(50)
        ? { type: 'resetStream', streamId, code, finalSize }
        : { type: 'resetStreamAt', streamId, code, finalSize, reliableSize };
      this.#queue('oneRtt', [reset]);
      return;
    }
    const fresh = !this.#offsets.has(streamId);
    const head = fresh ? this.#polite.streamHead(streamId) : undefined;
    if (head !== undefined) this.#heads.set(streamId, head);
    const part = this.#polite.streamPart(streamId, this.#heads.get(streamId));
    this.#write(streamId, head === undefined ? part : concat([head, part]), this.#tape.chance(8));
  }

  #http3(): void {
    const tape = this.#tape;
    if (tape.chance(15)) {
      this.#queue('oneRtt', [{ type: 'datagram', data: httpDatagram(tape), frameOctets: 0 }]);
      return;
    }
    const streamId = tape.chance(90) ? tape.below(20) : tape.below(400);
    const fresh = !this.#offsets.has(streamId);
    const parts = fresh ? [streamHead(tape, (streamId & 2) !== 0)] : [];
    const more = tape.below(3) + (fresh ? 0 : 1);
    for (let i = 0; i < more; i++)
      parts.push(tape.chance(80) ? http3Frame(tape) : tape.bytes(tape.below(100)));
    this.#write(streamId, concat(parts), tape.chance(12));
  }

  #frames(): void {
    const tape = this.#tape;
    const level = tape.pick([
      'oneRtt',
      'oneRtt',
      'oneRtt',
      'oneRtt',
      'oneRtt',
      'handshake',
      'initial',
    ] as const);
    const parts: Part[] = [];
    const count = 1 + tape.below(4);
    for (let i = 0; i < count; i++)
      parts.push(tape.chance(93) ? anyFrame(tape) : anyOctets(tape, writeFrame));
    this.#queue(level, parts, tape.chance(15) ? this.#options() : {});
  }

  #options(): PacketOptions {
    const tape = this.#tape;
    const peer = this.#peer;
    switch (tape.below(5)) {
      case 0:
        return { packetNumber: tape.chance(70) ? tape.below(200) : Math.min(tape.integer(), 2 ** 40) };
      case 1:
        return { firstBits: tape.u8() };
      case 2:
        return { generation: Math.max(0, (peer.application?.generation ?? 0) + tape.below(5) - 2) };
      case 3:
        return { destination: tape.chance(50) ? this.#otherId() : tape.bytes(tape.below(21)) };
      default:
        return { source: tape.bytes(tape.below(21)), token: tape.bytes(tape.below(60)) };
    }
  }

  #otherId(): Uint8Array {
    const issued = this.#peer.framesOf('newConnectionId');
    return issued.length === 0 ? this.#peer.destinationId : this.#tape.pick(issued).connectionId.slice();
  }

  /** Datagrams as a bad network makes them: changed, cut, joined, repeated, from elsewhere. */
  #mangle(): void {
    const tape = this.#tape;
    const peer = this.#peer;
    const packet = this.#kept.length === 0 ? tape.bytes(50) : tape.pick(this.#kept);
    const elsewhere = { host: tape.pick(['192.168.0.2', '192.168.0.3', '::1']), port: 5000 + tape.below(4) };
    switch (tape.below(7)) {
      case 0:
        peer.push(tape.mutate(packet));
        return;
      case 6:
        peer.push(this.#unprotected());
        return;
      case 1:
        peer.push(packet.slice());
        return;
      case 2:
        peer.push(concat([packet, tape.chance(50) ? packet : tape.bytes(tape.below(300))]));
        return;
      case 3:
        peer.push(peer.packet('oneRtt', [this.#someFrame()]), elsewhere);
        return;
      case 4:
        peer.push(tape.bytes(tape.below(1300)), elsewhere);
        return;
      default:
        peer.push(
          peer.packet('initial', [{ type: 'ping' }], { destination: tape.bytes(8), padTo: 1200 }),
          elsewhere,
        );
    }
  }

  /** What needs no keys: Version Negotiation, Retry, and now and then a true Stateless Reset. */
  #unprotected(): Uint8Array {
    const tape = this.#tape;
    const { destinationId, originalDestination, random } = this.#peer;
    const source = tape.chance(50) ? originalDestination : tape.bytes(8);
    if (tape.chance(33))
      return encodeVersionNegotiation({
        destinationConnectionId: destinationId,
        sourceConnectionId: source,
        versions: tape.pick([[1], [0x1a2a3a4a], [2, 1], [0]]),
      });
    if (tape.chance(50)) {
      const token = tape.bytes(tape.below(60));
      const original = tape.chance(80) ? originalDestination : tape.bytes(8);
      const ids = { destinationConnectionId: destinationId, sourceConnectionId: source };
      return buildRetry({ originalDestinationConnectionId: original, ...ids, token }, tape.below(16));
    }
    const token = tape.chance(this.#rudeness) ? this.#polite.resetToken : random(16);
    return concat([Uint8Array.of(0x40 | tape.below(64)), tape.bytes(20 + tape.below(30)), token]);
  }

  /** Handshake octets after the handshake: tickets, whole or not. */
  #ticket(): void {
    const tape = this.#tape;
    const ticket = writeNewSessionTicket(
      tape.chance(95) ? tape.below(604_800) : tape.u32(),
      tape.u32(),
      tape.bytes(tape.below(9)),
      tape.bytes(1 + tape.below(90)),
    );
    this.#peer.sendCrypto('application', [tape.chance(this.#rudeness) ? tape.mutate(ticket) : ticket]);
  }

  #goAway(): void {
    const client = this.#peer.role === 'client';
    const id = client ? this.#tape.below(4) : 4 * this.#tape.below(6);
    this.#write(client ? 2 : 3, encodeFrame(FrameType.GOAWAY, encodeVarint(id)), false);
  }

  #someFrame(): Frame {
    return this.#tape.chance(this.#rudeness) ? anyFrame(this.#tape) : this.#polite.frame();
  }

  #oddity(choice: number): void {
    const tape = this.#tape;
    const peer = this.#peer;
    if (choice === 28) peer.autoAck = tape.chance(80);
    else if (choice === 29) {
      // Time jumps, and what was due comes late.
      peer.now += tape.pick([50, 500, 5000, 29_000, 31_000]);
      const due = this.#subject.deadline();
      if (due !== undefined && due <= peer.now) this.#subject.onDeadline(peer.now);
    } else if (choice === 30 && tape.chance(30)) {
      if (tape.chance(20)) this.#goAway();
      else if (peer.role === 'server') this.#ticket();
    } else if (choice === 30 && peer.application !== undefined) {
      const { generation, peerGeneration } = peer.application;
      if (peerGeneration >= generation || tape.chance(this.#rudeness)) peer.application.generation += 1;
    } else {
      const challenge: Frame = { type: 'pathChallenge', data: tape.bytes(8) };
      const frame = tape.chance(40) ? challenge : this.#someFrame();
      const times = 1 + tape.below(60);
      for (let i = 0; i < times; i++) peer.push(peer.packet('oneRtt', [frame]));
    }
  }
}

/** Handshake octets and transport parameters that are wrong now and then. */
function handshakeOptions(tape: Tape): ConstructorParameters<typeof RawPeer>[2] {
  const wrong = tape.chance(6);
  return {
    seed: tape.u8(),
    sourceIdOctets: tape.chance(90) ? 8 : tape.below(21),
    destinationIdOctets: tape.chance(95) ? 8 : 8 + tape.below(13),
    parameters: (right) => {
      if (!wrong) return right;
      if (tape.chance(20)) return tape.bytes(tape.below(80));
      // Doubled, cut, of another length: what a table of fields alone does not show.
      if (tape.chance(40)) return tape.mutate(encodeTransportParameters(right));
      return {
        ...right,
        maxIdleTimeoutMs: tape.integer(),
        initialMaxData: tape.integer(),
        initialMaxStreamDataUni: tape.integer(),
        initialMaxStreamsUni: tape.integer(),
        ackDelayExponent: tape.below(24),
        maxAckDelayMs: tape.integer(),
        activeConnectionIdLimit: tape.integer(),
        maxDatagramFrameSize: tape.integer(),
        maxUdpPayloadSize: 1100 + tape.below(400),
      };
    },
  };
}

/** One run of the adversary: how the other side's connections ended. Throws a `Finding` when a promise does not hold. */
export function attack(tape: Tape): string {
  const role = tape.chance(50) ? 'client' : 'server';
  const whole = tape.chance(60);
  const seed = tape.u8() + 1;
  const subject = whole
    ? new EndpointSubject(seed, role === 'client' ? 'server' : 'client', tape.chance(3))
    : new EngineSubject(seed);
  const options = handshakeOptions(tape);
  const peer = new RawPeer(role, subject, options);
  if (tape.chance(6)) peer.onTlsSend = (_, data) => [tape.chance(50) ? tape.mutate(data) : data];
  if (role === 'server') guarded('connect', () => subject.dial(peer.now));
  new Adversary(tape, subject, peer).run();
  return `${role} ${[...subject.apps.values()].map(({ outcome }) => outcome).join(', ')}`;
}
