import { encodeFrameHead } from '../../../proto/http3/frames.ts';
import { encodeCapsule, encodeFrame, type Field, FrameType } from '../../../proto/http3/index.ts';
import { encodeFieldSection } from '../../../proto/http3/qpack/index.ts';
import type { QuicConnection, QuicEvent } from '../../../proto/quic/index.ts';
import { encodeClose } from '../../../proto/webtransport/close-capsule.ts';
import { CapsuleType, STREAM_SIGNALS, toHttpCode } from '../../../proto/webtransport/codes.ts';
import { concat, encodeVarint } from '../../../proto/wire/index.ts';
import { QuicPair } from '../../support/quic-pair.ts';
import { App } from './app.ts';
import {
  acceptHead,
  capsule,
  connectHead,
  controlStream,
  getHead,
  http3Frame,
  httpDatagram,
  settings,
  streamHead,
} from './hostile-http3.ts';
import { Finding, must, type Tape } from './tape.ts';

const MAX_STEPS = 300;
const MAX_BODY_OCTETS = 3000;
/** CONNECT streams that a polite client has at a time: more may be refused, which is no fault. */
const MAX_REQUESTS = 30;

/** Frame and stream types that mean nothing and must be passed over (RFC 9114 §7.2.8, §6.2.3). */
const grease = (tape: Tape): number => 0x1f * tape.below(100) + 0x21;

/** What a raw stream is to us, as its other end will see it. */
type Kind = 'control' | 'request' | 'data' | 'other';

interface Raw {
  readonly id: number;
  readonly kind: Kind;
  /** Octets of whole frames or capsules that are written piece by piece. */
  waiting: Uint8Array;
  ended: boolean;
  /** Set when a close capsule was written: nothing may follow it. */
  closed: boolean;
  /** A response's or request's head was written. */
  headed: boolean;
  /** The rest of a capsule that a DATA frame before it began. */
  rest: Uint8Array;
}

/**
 * A side that speaks QUIC well, by our own engine under real keys, and HTTP/3 and WebTransport as the tape says: valid frames in
 * any order that the protocols allow, split anywhere, or, where it is rude, in orders that they do not allow.
 */
class HostileWeb {
  readonly #tape: Tape;
  readonly #pair: QuicPair;
  readonly #rudeness: number;
  readonly #raws = new Map<number, Raw>();
  readonly #apps = new Map<QuicConnection, App>();
  readonly #isClient: boolean;
  #raw: QuicConnection | undefined;
  #goAwayId: number | undefined;
  #pushId = 0;
  #rudeActs = 0;
  #requests = 0;
  #ended = 'open';

  constructor(tape: Tape) {
    this.#tape = tape;
    this.#rudeness = tape.pick([0, 0, 2, 10, 40]);
    this.#isClient = tape.chance(50);
    this.#pair = new QuicPair({
      seed: tape.u8() + 1,
      delayMs: 5,
      jitterMs: tape.pick([0, 0, 20]),
      loss: { toServer: tape.pick([0, 0, 0.1]), toClient: 0 },
    });
    this.#pair.onEvent = (connection, event) => this.#told(connection, event);
  }

  #isRaw(connection: QuicConnection): boolean {
    return (connection.role === 'client') === this.#isClient;
  }

  #told(connection: QuicConnection, event: QuicEvent): void {
    if (this.#isRaw(connection)) {
      this.#toldRaw(connection, event);
      return;
    }
    if (event.type === 'closed') this.#onClosed(event.reason);
    this.#appOf(connection).handle(event);
  }

  #appOf(connection: QuicConnection): App {
    const app = this.#apps.get(connection) ?? new App(connection, 7);
    this.#apps.set(connection, app);
    return app;
  }

  /** Who breaks no rule is never accused of it. */
  #onClosed(reason: Extract<QuicEvent, { type: 'closed' }>['reason']): void {
    const accused = 'code' in reason && reason.by === 'local' && reason.reason !== 'done';
    this.#ended =
      'code' in reason ? `${reason.kind} 0x${reason.code.toString(16)} by ${reason.by}` : reason.kind;
    if (accused && this.#rudeActs === 0)
      throw new Finding('a polite peer is not accused', `${this.#ended}: ${reason.reason}`);
  }

  /** The raw side reads what comes, so that flow control goes on, and answers requests now and then. */
  #toldRaw(connection: QuicConnection, event: QuicEvent): void {
    this.#raw = connection;
    if (event.type === 'streamOpened' && event.direction === 'bidirectional' && !this.#isClient)
      this.#add(event.streamId, 'request', new Uint8Array(0));
    if (event.type === 'streamStopped') this.#end(event.streamId);
    if (event.type !== 'streamReadable') return;
    while (connection.readStream(event.streamId) !== undefined);
  }

  #end(streamId: number): void {
    const raw = this.#raws.get(streamId);
    if (raw !== undefined) raw.ended = true;
  }

  #add(id: number, kind: Kind, waiting: Uint8Array): Raw {
    const raw: Raw = {
      id,
      kind,
      waiting,
      ended: false,
      closed: false,
      headed: false,
      rest: new Uint8Array(0),
    };
    this.#raws.set(id, raw);
    return raw;
  }

  #open(direction: 'bidirectional' | 'unidirectional', kind: Kind, first: Uint8Array): Raw | undefined {
    const id = this.#raw?.openStream(direction);
    return id === undefined ? undefined : this.#add(id, kind, first);
  }

  /** Writes some of what waits on a stream, down to an octet at a time. */
  #write(raw: Raw, all = false): void {
    if (raw.ended || this.#raw === undefined || raw.waiting.length === 0) return;
    const tape = this.#tape;
    const octets = all || tape.chance(50) ? raw.waiting.length : 1 + tape.below(raw.waiting.length);
    this.#raw.writeStream(raw.id, raw.waiting.slice(0, octets));
    raw.waiting = raw.waiting.slice(octets);
  }

  #append(raw: Raw, octets: Uint8Array): void {
    raw.waiting = concat([raw.waiting, octets]);
    this.#write(raw);
  }

  /** The next of the streams of a kind that can still be written. */
  #some(kind: Kind): Raw | undefined {
    const usable = [...this.#raws.values()].filter((raw) => raw.kind === kind && !raw.ended);
    return usable.length === 0 ? undefined : this.#tape.pick(usable);
  }

  #step(): void {
    const tape = this.#tape;
    if (this.#raw === undefined || this.#raw.closed || tape.chance(20)) {
      this.#pair.run(() => false, tape.pick([1, 5, 20, 200]));
      return;
    }
    if (tape.chance(this.#rudeness)) this.#rude();
    else this.#polite();
    for (const app of this.#apps.values()) if (tape.chance(15)) app.act(tape, this.#pair.now);
  }

  #polite(): void {
    const tape = this.#tape;
    switch (tape.below(12)) {
      case 0:
        this.#control();
        return;
      case 1:
        if (this.#isClient) this.#request();
        else this.#answer();
        return;
      case 2:
      case 3:
        this.#onRequest();
        return;
      case 4:
        this.#dataStream();
        return;
      case 5:
      case 6: {
        const raw = this.#some('data');
        if (raw !== undefined) this.#append(raw, tape.bytes(tape.below(MAX_BODY_OCTETS)));
        return;
      }
      case 7:
        this.#finish();
        return;
      case 8:
        this.#cutShort();
        return;
      case 9:
        this.#raw?.sendDatagram(concat([encodeVarint(tape.below(20)), tape.bytes(tape.below(200))]));
        return;
      case 10:
        this.#open(
          'unidirectional',
          'other',
          concat([encodeVarint(grease(tape)), tape.bytes(tape.below(60))]),
        );
        return;
      default: {
        const raw = this.#some(tape.pick(['control', 'request', 'data', 'other'] as const));
        if (raw !== undefined) this.#write(raw);
      }
    }
  }

  /** The control stream with SETTINGS, or what may come on it later (RFC 9114 §7.2). */
  #control(): void {
    const tape = this.#tape;
    const control = this.#some('control');
    if (control === undefined) {
      const raw = this.#open('unidirectional', 'control', controlStream());
      if (raw !== undefined) this.#write(raw);
      return;
    }
    switch (tape.below(4)) {
      case 0: {
        if (!tape.chance(15)) return;
        // Never above an earlier one (RFC 9114 §5.2); a server's names a request stream.
        const id = Math.min(this.#goAwayId ?? 80, (this.#isClient ? 1 : 4) * tape.below(20));
        this.#goAwayId = id;
        this.#append(control, encodeFrame(FrameType.GOAWAY, encodeVarint(id)));
        return;
      }
      case 1:
        if (!this.#isClient) return;
        this.#pushId += tape.below(3);
        this.#append(control, encodeFrame(0x0d, encodeVarint(this.#pushId)));
        return;
      default:
        this.#append(control, encodeFrame(grease(tape), tape.bytes(tape.below(50))));
    }
  }

  #request(): void {
    if (this.#requests >= MAX_REQUESTS) return;
    this.#requests += 1;
    const raw = this.#open('bidirectional', 'request', new Uint8Array(0));
    if (raw === undefined) return;
    raw.headed = true;
    const isConnect = this.#tape.chance(75);
    raw.closed = !isConnect;
    this.#append(raw, isConnect ? connectHead() : getHead());
    if (!isConnect) this.#endWith(raw);
  }

  /** Server: a head for a request of the other side, after an interim one now and then. */
  #answer(): void {
    const raw = this.#some('request');
    if (raw === undefined || raw.headed) return;
    const interim: Field[] = [[':status', '103']];
    if (this.#tape.chance(20)) this.#append(raw, encodeFrame(FrameType.HEADERS, encodeFieldSection(interim)));
    else {
      raw.headed = true;
      this.#append(raw, acceptHead());
    }
  }

  /** Frames on a CONNECT stream: capsules, whole or in parts, frames that mean nothing. */
  #onRequest(): void {
    const tape = this.#tape;
    const raw = this.#some('request');
    if (raw === undefined || !raw.headed || raw.closed) return;
    if (raw.rest.length > 0) {
      const octets = 1 + tape.below(raw.rest.length);
      this.#append(raw, encodeFrame(FrameType.DATA, raw.rest.slice(0, octets)));
      raw.rest = raw.rest.slice(octets);
      return;
    }
    const kind = tape.below(6);
    if (kind === 0) this.#append(raw, encodeFrame(grease(tape), tape.bytes(tape.below(30))));
    else if (kind === 1) this.#append(raw, encodeFrameHead(FrameType.DATA, 0));
    else if (kind === 2 && tape.chance(20)) {
      this.#append(raw, encodeFrame(FrameType.DATA, encodeClose(tape.u32(), 'x'.repeat(tape.below(1100)))));
      raw.closed = true;
      if (tape.chance(80)) this.#endWith(raw);
    } else raw.rest = this.#capsule();
  }

  #capsule(): Uint8Array {
    const tape = this.#tape;
    const type = tape.pick([CapsuleType.DATAGRAM, CapsuleType.DRAIN_SESSION, 0x17, grease(tape)]);
    return encodeCapsule(
      type,
      type === CapsuleType.DRAIN_SESSION ? new Uint8Array(0) : tape.bytes(tape.below(300)),
    );
  }

  /** A stream of a session that is open, was, will be or never is. */
  #dataStream(): void {
    const tape = this.#tape;
    const direction = tape.pick(['bidirectional', 'unidirectional'] as const);
    const sessionId = encodeVarint(4 * tape.below(6));
    const raw = this.#open(direction, 'data', concat([encodeVarint(STREAM_SIGNALS[direction]), sessionId]));
    if (raw !== undefined) this.#write(raw);
  }

  #endWith(raw: Raw): void {
    if (raw.ended || this.#raw === undefined) return;
    this.#raw.writeStream(raw.id, raw.waiting, true);
    raw.waiting = new Uint8Array(0);
    raw.ended = true;
  }

  /** Ends a stream where its frames and capsules are whole. */
  #finish(): void {
    const raw = this.#some(this.#tape.pick(['data', 'request', 'other'] as const));
    if (raw === undefined || raw.rest.length > 0 || !this.#tape.chance(40)) return;
    if (raw.kind === 'request' && !raw.headed) return;
    this.#endWith(raw);
  }

  /** Resets or stops a stream; the control stream stays. */
  #cutShort(): void {
    const tape = this.#tape;
    const raw = this.#some(tape.pick(['data', 'request', 'other'] as const));
    if (raw === undefined || !tape.chance(40)) return;
    const code = tape.chance(60) ? toHttpCode(tape.u32()) : tape.pick([0x100, 0x10c, 0x170d7b68, 5]);
    const receives = (raw.id & 2) === 0;
    if (receives && tape.chance(50)) this.#raw?.stopSending(raw.id, code);
    else {
      this.#raw?.resetStream(raw.id, code);
      raw.ended = true;
    }
  }

  /** What the protocols forbid, or may forbid. */
  #rude(): void {
    const tape = this.#tape;
    this.#rudeActs += 1;
    const direction = tape.pick(['bidirectional', 'unidirectional'] as const);
    const raw = this.#some(tape.pick(['control', 'request', 'data', 'other'] as const));
    switch (tape.below(9)) {
      case 0: {
        const opened = this.#open(direction, 'other', streamHead(tape, direction === 'unidirectional'));
        if (opened !== undefined) this.#write(opened, true);
        return;
      }
      case 1:
      case 2:
        if (raw !== undefined) this.#append(raw, http3Frame(tape));
        return;
      case 3:
        if (raw !== undefined) this.#append(raw, encodeFrame(FrameType.DATA, capsule(tape)));
        return;
      case 4:
        if (raw !== undefined) this.#append(raw, encodeFrame(FrameType.SETTINGS, settings(tape)));
        return;
      case 5:
        this.#raw?.sendDatagram(httpDatagram(tape));
        return;
      case 6:
        if (raw !== undefined) this.#endWith(raw);
        return;
      case 7:
        if (raw === undefined) return;
        this.#raw?.resetStream(raw.id, tape.integer());
        raw.ended = true;
        return;
      default:
        if (raw !== undefined) raw.waiting = tape.mutate(raw.waiting);
    }
  }

  run(): string {
    const pair = this.#pair;
    const connection = pair.connect();
    if (this.#isClient) this.#raw = connection;
    else this.#appOf(connection);
    for (let step = 0; step < MAX_STEPS && !this.#tape.ended; step++) this.#step();
    pair.run(() => false, 1000);
    for (const app of this.#apps.values()) {
      must(app.webTransport.streamCount <= 300, 'streams are bounded', `${app.webTransport.streamCount}`);
      app.connection.close(0, 'done');
    }
    pair.run(() => false, 120_000);
    for (const app of this.#apps.values()) must(app.closed === 1, 'one closed event', `${app.closed}`);
    const left = pair.client.stats().connections + pair.server.stats().connections;
    must(left === 0, 'silence ends a connection', `${left} are left`);
    return `${this.#isClient ? 'client' : 'server'} ${this.#rudeActs > 0 ? 'rude' : 'polite'} ${this.#ended}`;
  }
}

export function attackWeb(tape: Tape): string {
  return new HostileWeb(tape).run();
}
