import { ReadableStream, WritableStream } from 'node:stream/web';
import type { QuicStats } from '../../../proto/quic/index.ts';
import {
  type BidirectionalStream,
  type CloseInfo,
  type SessionRequest,
  StreamError,
  type WebTransportSession,
} from '../../../server/webtransport/types.ts';
import { Incoming } from '../../support/incoming-streams.ts';
import { NO_STATS } from '../../support/quic-stats.ts';
import type { SeededRandom } from '../random.ts';
import type { Trace } from '../trace.ts';
import type { VirtualTime } from './virtual-time.ts';

/** What one direction of a stream may have under way, as QUIC's flow control has it, in octets. */
const WINDOW_OCTETS = 48 << 10;
/** After which each side gives a silent session up, in ms. */
const IDLE_MS = 30_000;
/** Beyond this many octets a delivery is cut in two, at any place. */
const CUT_ABOVE_OCTETS = 1;

const STATS: QuicStats = Object.freeze({
  ...NO_STATS,
  handshakeMs: 40,
  latestRttMs: 20,
  smoothedRttMs: 20,
  minRttMs: 20,
  rttVarMs: 1,
  congestionWindowOctets: 14_720,
});

/** Who sends. */
type Side = 'page' | 'server';

/** What the streams of a link share. */
export interface LinkSetting {
  readonly time: VirtualTime;
  readonly random: SeededRandom;
  readonly trace: Trace;
  /** One-way delay, and what is added to it at random, in ms. */
  readonly delayMs: number;
  readonly jitterMs: number;
}

const otherSide = (side: Side): Side => (side === 'page' ? 'server' : 'page');

/** One direction of one stream: ordered and lossless until the link is cut, at any octet. */
class Way {
  readonly readable: ReadableStream<Uint8Array>;
  readonly writable: WritableStream<Uint8Array>;
  readonly #link: Link;
  readonly #name: string;
  readonly #from: Side;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #sink: { error(reason: unknown): void } | undefined;
  #ready: Uint8Array[] = [];
  #finished = false;
  #readerOver = false;
  #underWay = 0;
  #lastAt = 0;
  #room: (() => void)[] = [];
  #pulled: (() => void) | undefined;

  constructor(link: Link, name: string, from: Side) {
    this.#link = link;
    this.#name = name;
    this.#from = from;
    this.readable = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => this.#pull(),
        cancel: () => this.#stopped(),
      },
      { highWaterMark: 0 },
    );
    this.writable = new WritableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#sink = controller;
        },
        write: (octets) => this.#write(octets),
        close: () => this.#send(undefined),
        abort: (reason) => this.#reset(reason),
      },
      { highWaterMark: WINDOW_OCTETS, size: (octets) => octets.length },
    );
  }

  /** The session is over: what has arrived can be read, nothing more comes. */
  failReader(error: Error): void {
    if (this.#readerOver) return;
    this.#readerOver = true;
    if (this.#ready.length === 0) this.#controller.error(error);
    else this.#failure = error;
    this.#wake();
  }

  failWriter(error: Error): void {
    this.#sink?.error(error);
    for (const resolve of this.#room.splice(0)) resolve();
  }

  #failure: Error | undefined;

  async #write(octets: Uint8Array): Promise<void> {
    // Written octets are the transport's own from then on.
    this.#send(octets.slice());
    if (this.#underWay > WINDOW_OCTETS) await new Promise<void>((resolve) => this.#room.push(resolve));
  }

  #send(octets: Uint8Array | undefined): void {
    const { random } = this.#link.setting;
    if (octets !== undefined && octets.length > CUT_ABOVE_OCTETS && random.chance(0.3)) {
      const at = random.integer(1, octets.length - 1);
      this.#piece(octets.subarray(0, at));
      this.#piece(octets.subarray(at));
    } else this.#piece(octets);
  }

  #piece(octets: Uint8Array | undefined): void {
    const { time } = this.#link.setting;
    this.#underWay += octets?.length ?? 0;
    this.#lastAt = Math.max(this.#lastAt, time.now + this.#link.delay());
    this.#link.deliver(this.#from, this.#lastAt, () => this.#arrive(octets));
  }

  #arrive(octets: Uint8Array | undefined): void {
    this.#link.arrived[this.#from] += octets?.length ?? 0;
    if (this.#readerOver) return;
    const { trace, time } = this.#link.setting;
    if (octets === undefined) trace.event(time.now, `${this.#name} ends`);
    else trace.packet(time.now, 'stream', this.#name, '', octets);
    if (octets === undefined) this.#finished = true;
    else this.#ready.push(octets);
    this.#wake();
  }

  #wake(): void {
    this.#pulled?.();
    this.#pulled = undefined;
  }

  async #pull(): Promise<void> {
    if (this.#ready.length === 0 && !this.#finished && !this.#readerOver)
      await new Promise<void>((resolve) => {
        this.#pulled = resolve;
      });
    const octets = this.#ready.shift();
    if (octets !== undefined) {
      this.#underWay -= octets.length;
      if (this.#underWay <= WINDOW_OCTETS) for (const resolve of this.#room.splice(0)) resolve();
      this.#controller.enqueue(octets);
    } else if (this.#failure !== undefined) this.#controller.error(this.#failure);
    else if (this.#finished && !this.#readerOver) {
      this.#readerOver = true;
      this.#controller.close();
    }
  }

  #reset(reason: unknown): void {
    const code = reason instanceof StreamError ? reason.streamErrorCode : 0;
    // A reset overtakes what was sent before it, now and then.
    this.#link.deliver(this.#from, this.#link.setting.time.now + this.#link.delay(), () => {
      if (this.#readerOver) return;
      this.#readerOver = true;
      this.#ready = [];
      this.#controller.error(streamError(code));
      this.#wake();
    });
  }

  #stopped(): void {
    this.#readerOver = true;
    this.#ready = [];
    const { time } = this.#link.setting;
    const reader = otherSide(this.#from);
    this.#link.deliver(reader, time.now + this.#link.delay(), () => this.failWriter(streamError(0)));
  }
}

/** As a browser and our server say it: the code, and that the stream alone is meant. */
function streamError(code: number | null): StreamError {
  return Object.assign(new StreamError(code, 'the peer ended the stream'), { source: 'stream' });
}

/** One end of a link, with the shape of W3C WebTransport that both browser and server use. */
export class LinkEnd implements WebTransportSession {
  readonly protocol = '';
  readonly request: SessionRequest;
  readonly ready = Promise.resolve();
  readonly draining = new Promise<void>(() => {});
  readonly closed: Promise<CloseInfo>;
  readonly datagrams = {
    readable: new ReadableStream<Uint8Array>(),
    writable: new WritableStream<Uint8Array>(),
    maxDatagramSize: 0,
  };
  peer!: LinkEnd;
  over = false;
  readonly #link: Link;
  readonly #side: Side;
  readonly #bidirectional = new Incoming<BidirectionalStream>();
  readonly #unidirectional = new Incoming<ReadableStream<Uint8Array>>();
  readonly #reading = new Set<Way>();
  readonly #writing = new Set<Way>();
  #settle!: { resolve(info: CloseInfo): void; reject(error: Error): void };
  #streams = 0;

  constructor(link: Link, side: Side, request: SessionRequest) {
    this.#link = link;
    this.#side = side;
    this.request = request;
    this.closed = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
    this.closed.catch(() => {});
  }

  get incomingBidirectionalStreams(): ReadableStream<BidirectionalStream> {
    return this.#bidirectional.readable;
  }

  get incomingUnidirectionalStreams(): ReadableStream<ReadableStream<Uint8Array>> {
    return this.#unidirectional.readable;
  }

  async createBidirectionalStream(): Promise<BidirectionalStream> {
    const { out, name } = this.#open();
    const back = new Way(this.#link, `${name} back`, otherSide(this.#side));
    this.#reading.add(back);
    this.peer.#announce(() => {
      this.peer.#reading.add(out);
      this.peer.#writing.add(back);
      this.peer.#bidirectional.push({ readable: out.readable, writable: back.writable });
    });
    return { readable: back.readable, writable: out.writable };
  }

  async createUnidirectionalStream(): Promise<WritableStream<Uint8Array>> {
    const { out } = this.#open();
    this.peer.#announce(() => {
      this.peer.#reading.add(out);
      this.peer.#unidirectional.push(out.readable);
    });
    return out.writable;
  }

  close(info: Partial<CloseInfo> = {}): void {
    if (this.over) return;
    const { closeCode = 0, reason = '' } = info;
    const { time, trace } = this.#link.setting;
    trace.event(time.now, `${this.#link.name}: ${this.#side} closes with ${closeCode}: ${reason}`);
    this.end({ closeCode, reason });
    // Behind what was sent before it, as far as one delay goes.
    const end = () => this.peer.end({ closeCode, reason });
    this.#link.deliver(this.#side, time.now + this.#link.delay(), end);
  }

  drain(): void {}

  stats(): QuicStats {
    return { ...STATS, octetsReceived: this.#link.arrived[otherSide(this.#side)] };
  }

  onNetworkChange(): () => void {
    return () => {};
  }

  /** It is over on this side: closed, or lost with an error. */
  end(outcome: CloseInfo | Error): void {
    if (this.over) return;
    this.over = true;
    const lost = outcome instanceof Error;
    const error = lost
      ? outcome
      : Object.assign(new StreamError(null, 'the session was closed'), { source: 'session' });
    for (const way of this.#reading) way.failReader(error);
    for (const way of this.#writing) way.failWriter(error);
    this.#bidirectional.end(lost ? error : undefined);
    this.#unidirectional.end(lost ? error : undefined);
    if (lost) this.#settle.reject(error);
    else this.#settle.resolve(outcome);
  }

  #open(): { readonly out: Way; readonly name: string } {
    if (this.over) throw new StreamError(null, 'the session is closed');
    const name = `${this.#link.name} ${this.#side} ${this.#streams++}`;
    const out = new Way(this.#link, name, this.#side);
    this.#writing.add(out);
    return { out, name };
  }

  #announce(arrive: () => void): void {
    const { time } = this.#link.setting;
    this.#link.deliver(this.#side, time.now + this.#link.delay(), () => {
      if (!this.over) arrive();
    });
  }
}

/** A session without a network beneath it: streams in order and lossless, overtaking each other, until it is cut at any instant. */
export class Link {
  readonly name: string;
  readonly setting: LinkSetting;
  readonly page: LinkEnd;
  readonly server: LinkEnd;
  /** Octets of streams that arrived, by who sent them. */
  readonly arrived = { page: 0, server: 0 };
  #state: 'up' | 'silent' | 'dead' = 'up';
  /** Nothing that the page sends comes through. */
  #pageUnheard = false;
  #held: (() => void)[] = [];

  constructor(name: string, setting: LinkSetting, request: SessionRequest) {
    this.name = name;
    this.setting = setting;
    this.page = new LinkEnd(this, 'page', request);
    this.server = new LinkEnd(this, 'server', request);
    this.page.peer = this.server;
    this.server.peer = this.page;
  }

  get up(): boolean {
    return this.#state === 'up' && !(this.page.over && this.server.over);
  }

  delay(): number {
    const { delayMs, jitterMs, random } = this.setting;
    return delayMs + (jitterMs > 0 ? random.between(0, jitterMs) : 0);
  }

  deliver(from: Side, at: number, action: () => void): void {
    this.setting.time.schedule.at(at, () => {
      if (this.#state === 'dead') return;
      if (this.#state === 'silent' || (this.#pageUnheard && from === 'page')) this.#held.push(action);
      else action();
    });
  }

  /** Nothing comes through, and neither side is told. */
  silence(): void {
    if (this.#state === 'up') this.#state = 'silent';
  }

  /** Nothing that the page sends comes through, and what the server sends does. */
  silencePage(): void {
    if (this.#state === 'up') this.#pageUnheard = true;
  }

  /** What was held up comes, late, if the link still stands. */
  recover(): void {
    if (this.#state === 'dead') return;
    this.#state = 'up';
    this.#pageUnheard = false;
    for (const action of this.#held.splice(0)) action();
  }

  /** Nothing under way arrives any more; each side hears of it in its own time, by its idle timer at the latest. */
  cut(pageHearsInMs: number | undefined, serverHearsInMs: number | undefined): void {
    this.#state = 'dead';
    this.#held = [];
    const { time } = this.setting;
    const lost = () => new Error('the connection ended (idle-timeout)');
    time.later(pageHearsInMs ?? IDLE_MS, () => this.page.end(lost()));
    time.later(serverHearsInMs ?? IDLE_MS, () => this.server.end(lost()));
  }
}
