import type { QuicEvent, StreamDirection } from '../../../proto/quic/index.ts';
import type { WebTransportEvent } from '../../../proto/webtransport/index.ts';
import { makeDatagram, patternAt, type Role, type StreamChecker } from '../checkers/streams.ts';
import type { Carrier } from './carrier.ts';
import type { SendPlan, StreamPlan } from './plan.ts';

const RESET_CODE = 0x51;
const STOP_CODE = 0x77;
/** Octets that wait in the engine before the application holds back. */
export const HIGH_WATER_OCTETS = 96 * 1024;
const SLOW_READ_MS = 20;
const DATAGRAMS_AT_ONCE = 8;

/** What a side needs of its host and its call. */
export interface SideHost {
  /** Runs `action` later, unless the host has crashed by then; the host sends what comes of it. */
  later(ms: number, action: () => void): void;
  /** The plan of a stream that the peer opened. */
  planOf(streamId: number): StreamPlan | undefined;
  opened(streamId: number, plan: StreamPlan): void;
  /** A half of a stream is over for its writer or its reader. */
  settled(streamId: number, writer: Role, who: 'writer' | 'reader'): void;
  /** The writer reset a stream: one of WebTransport may never be shown to its reader. */
  reset(streamId: number, writer: Role): void;
}

interface Sending {
  readonly plan: SendPlan;
  written: number;
  over: boolean;
}

interface Receiving {
  readonly plan: SendPlan;
  read: number;
  over: boolean;
  /** A slow reader's next look is planned. */
  waiting: boolean;
}

/** One side's application: opens, writes, reads, resets and stops streams as its plans say. */
export class Side {
  readonly role: Role;
  readonly #carrier: Carrier;
  readonly #peer: Role;
  readonly #host: SideHost;
  readonly #checker: StreamChecker;
  readonly #sending = new Map<number, Sending>();
  readonly #receiving = new Map<number, Receiving>();
  readonly #toOpen: StreamPlan[] = [];
  #datagrams = 0;

  constructor(role: Role, carrier: Carrier, host: SideHost, checker: StreamChecker) {
    this.#carrier = carrier;
    this.role = role;
    this.#peer = this.role === 'client' ? 'server' : 'client';
    this.#host = host;
    this.#checker = checker;
  }

  open(plan: StreamPlan): void {
    if (this.#carrier.closed) return;
    const streamId = this.#carrier.openStream(plan.direction);
    if (streamId === undefined) {
      this.#toOpen.push(plan);
      return;
    }
    this.#host.opened(streamId, plan);
    if (plan.back !== undefined) this.#expect(streamId, plan.back);
    this.#send(streamId, plan.forth);
  }

  #openWaiting(direction: StreamDirection): void {
    const waiting = this.#toOpen.filter((plan) => plan.direction === direction);
    const others = this.#toOpen.filter((plan) => plan.direction !== direction);
    this.#toOpen.length = 0;
    this.#toOpen.push(...others);
    for (const plan of waiting) this.open(plan);
  }

  sendDatagrams(): void {
    if (this.#carrier.closed) return;
    for (let i = 0; i < DATAGRAMS_AT_ONCE; i++) {
      const id = this.#datagrams;
      const length = Math.min(this.#carrier.maxDatagramOctets(), 4 + ((id * 211) % 1100));
      if (length < 4) return;
      this.#checker.onDatagramSent(id, this.role);
      this.#datagrams += 1;
      this.#carrier.sendDatagram(makeDatagram(id, length));
    }
  }

  handle(event: QuicEvent | WebTransportEvent): void {
    switch (event.type) {
      case 'streamOpened':
        this.#onOpened(event.streamId);
        return;
      case 'streamReadable':
        this.#read(event.streamId);
        return;
      case 'streamWritable':
        this.#pump(event.streamId);
        return;
      case 'streamFinished':
        this.#checker.onFinished(event.streamId, this.role);
        this.#host.settled(event.streamId, this.role, 'writer');
        return;
      case 'streamReset':
        this.#checker.onResetSeen(event.streamId, this.#peer, event.code);
        this.#endReading(event.streamId);
        return;
      case 'streamStopped':
        this.#checker.onStopSeen(event.streamId, this.role, event.code);
        this.#endWriting(event.streamId);
        return;
      case 'streamsAvailable':
        this.#openWaiting(event.direction);
        return;
      case 'datagram':
        this.#checker.onDatagram(event.data, this.#peer);
        return;
      default:
    }
  }

  #onOpened(streamId: number): void {
    const plan = this.#host.planOf(streamId);
    if (plan === undefined) {
      this.#checker.onRead(streamId, this.#peer, new Uint8Array(1), false);
      return;
    }
    this.#expect(streamId, plan.forth);
    if (plan.back !== undefined) this.#send(streamId, plan.back);
  }

  #send(streamId: number, plan: SendPlan): void {
    this.#carrier.setStreamPriority(streamId, plan.priority);
    this.#sending.set(streamId, { plan, written: 0, over: false });
    this.#pump(streamId);
  }

  /** Writes what is due: one chunk of paced traffic, or as much as the engine should hold. */
  #pump(streamId: number): void {
    const sending = this.#sending.get(streamId);
    if (sending === undefined || sending.over || this.#carrier.closed) return;
    const { plan } = sending;
    const paced = plan.everyMs > 0;
    while (paced || this.#carrier.streamBufferedOctets(streamId) < HIGH_WATER_OCTETS) {
      const { resetAfter } = plan;
      if (resetAfter !== undefined && sending.written >= resetAfter) {
        const code = plan.code ?? RESET_CODE;
        this.#checker.onReset(streamId, this.role, code);
        this.#carrier.resetStream(streamId, code);
        this.#host.reset(streamId, this.role);
        this.#endWriting(streamId);
        return;
      }
      const octets = Math.min(plan.chunkOctets, plan.octets - sending.written);
      const fin = resetAfter === undefined && sending.written + octets === plan.octets;
      this.#checker.onWrite(streamId, this.role, octets, fin);
      const data = patternAt(streamId, this.role, sending.written, octets);
      sending.written += octets;
      this.#carrier.writeStream(streamId, data, fin);
      if (fin) {
        sending.over = true;
        return;
      }
      if (paced) {
        this.#host.later(plan.everyMs, () => this.#pump(streamId));
        return;
      }
    }
  }

  #endWriting(streamId: number): void {
    const sending = this.#sending.get(streamId);
    if (sending !== undefined) sending.over = true;
    this.#host.settled(streamId, this.role, 'writer');
  }

  #expect(streamId: number, plan: SendPlan): void {
    this.#receiving.set(streamId, { plan, read: 0, over: false, waiting: false });
  }

  #read(streamId: number): void {
    const receiving = this.#receiving.get(streamId);
    if (receiving === undefined || receiving.over || receiving.waiting) return;
    const { slowOctets, stopAfter } = receiving.plan;
    for (;;) {
      if (stopAfter !== undefined && receiving.read >= stopAfter) {
        const code = receiving.plan.code ?? STOP_CODE;
        this.#checker.onStop(streamId, this.#peer, code);
        this.#carrier.stopSending(streamId, code);
        this.#endReading(streamId);
        return;
      }
      const taken = this.#carrier.readStream(streamId, slowOctets > 0 ? slowOctets : undefined);
      if (taken === undefined) return;
      this.#checker.onRead(streamId, this.#peer, taken.data, taken.fin);
      receiving.read += taken.data.length;
      if (taken.fin) {
        this.#endReading(streamId);
        return;
      }
      if (slowOctets > 0) {
        receiving.waiting = true;
        this.#host.later(SLOW_READ_MS, () => {
          receiving.waiting = false;
          if (!this.#carrier.closed) this.#read(streamId);
        });
        return;
      }
    }
  }

  #endReading(streamId: number): void {
    const receiving = this.#receiving.get(streamId);
    if (receiving === undefined || receiving.over) return;
    receiving.over = true;
    this.#host.settled(streamId, this.#peer, 'reader');
  }
}
