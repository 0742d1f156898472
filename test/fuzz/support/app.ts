import type { QuicConnection, QuicEvent } from '../../../proto/quic/index.ts';
import { WebTransportConnection, type WebTransportEvent } from '../../../proto/webtransport/index.ts';
import { seededNumbers } from '../../support/quic-fixtures.ts';
import { EventOrder } from './event-order.ts';
import { Finding, guarded, type Tape } from './tape.ts';

/** Octets that the application lets wait on a stream before it stops echoing onto it. */
const MAX_WAITING_OCTETS = 128 * 1024;
/** Streams that the application opens at most. */
const MAX_OPENED = 40;
const OWN_CLOSE = 'done';
/** Codes with which only our own faults close (RFC 9000 §20.1, RFC 9114 §8.1). */
const OUR_FAULTS = new Set([0x01, 0x102]);

/** An application over WebTransport that uses every call of the face: it accepts, echoes, answers, and does what the tape says. */
export class App {
  readonly connection: QuicConnection;
  readonly webTransport: WebTransportConnection;
  readonly sessions: number[] = [];
  readonly streams: number[] = [];
  readonly #finished = new Set<number>();
  readonly #order: EventOrder;
  readonly #numbers: () => number;
  #asked: number[] = [];
  #opened = 0;
  closed = 0;
  /** How it ended. */
  outcome = 'open';

  constructor(connection: QuicConnection, seed: number) {
    this.connection = connection;
    this.#order = new EventOrder(connection.role);
    this.#numbers = seededNumbers(seed);
    this.webTransport = new WebTransportConnection(connection, { maxSessions: 3 });
    if (connection.role === 'client') guarded('connectSession', () => this.dialSession());
  }

  dialSession(): void {
    if (this.webTransport.goingAway || this.connection.closed) return;
    const sessionId = this.webTransport.connectSession({ authority: 'localhost', path: '/fuzz' });
    this.#order.onAsked(sessionId);
    this.sessions.push(sessionId);
  }

  handle(event: QuicEvent): void {
    if (event.type === 'closed') {
      this.closed += 1;
      const { reason } = event;
      this.outcome =
        'code' in reason ? `${reason.kind} 0x${reason.code.toString(16)} by ${reason.by}` : reason.kind;
      // Of the application's own closes the text is this one's.
      if ('code' in reason && reason.by === 'local' && reason.reason !== OWN_CLOSE)
        if (OUR_FAULTS.has(reason.code)) throw new Finding('no internal error', reason.reason);
      if (this.closed > 1) throw new Finding('one closed event', `the ${this.closed}th`);
    }
    guarded(`WebTransport with ${event.type}`, () => this.webTransport.handleEvent(event));
    for (
      let next = guarded('WebTransport poll', () => this.webTransport.poll());
      next !== undefined;
      next = guarded('WebTransport poll', () => this.webTransport.poll())
    ) {
      const told = next;
      guarded(`application with ${told.type}`, () => this.#told(told));
    }
  }

  #told(event: WebTransportEvent): void {
    const roll = this.#numbers();
    this.#order.check(event);
    switch (event.type) {
      case 'sessionRequested':
        if (roll < 0.8) this.#accept(event.sessionId);
        else if (roll < 0.9) this.webTransport.rejectSession(event.sessionId, 403);
        else this.#asked.push(event.sessionId);
        return;
      case 'streamOpened':
        if (this.streams.length < 200) this.streams.push(event.streamId);
        return;
      case 'streamReadable':
        if (roll < 0.9) this.#echo(event.streamId, roll < 0.2 ? 10 : undefined);
        return;
      case 'datagram':
        if (roll < 0.5) this.webTransport.sendDatagram(event.sessionId, event.data.slice());
        return;
      case 'request':
        if (roll < 0.9) this.webTransport.respond(event.streamId, 200, [['x', 'y']], new Uint8Array(2000));
        return;
      default:
    }
  }

  #accept(sessionId: number): void {
    this.webTransport.acceptSession(sessionId);
    this.#order.onAccepted(sessionId);
    this.sessions.push(sessionId);
  }

  #echo(streamId: number, maxOctets: number | undefined): void {
    for (
      let read = this.webTransport.readStream(streamId, maxOctets);
      read !== undefined;
      read = this.webTransport.readStream(streamId, maxOctets)
    ) {
      if ((streamId & 2) === 0) this.#write(streamId, read.data.slice(), read.fin);
      if (maxOctets !== undefined) return;
    }
  }

  #write(streamId: number, data: Uint8Array, fin: boolean): void {
    const own = (streamId & 1) === (this.connection.role === 'client' ? 0 : 1);
    if ((streamId & 2) !== 0 && !own) return;
    if (this.#finished.has(streamId)) return;
    if (this.webTransport.streamBufferedOctets(streamId) > MAX_WAITING_OCTETS) return;
    if (fin) this.#finished.add(streamId);
    this.webTransport.writeStream(streamId, data, fin);
  }

  /** One call of the face, as the tape says. */
  act(tape: Tape, now: number): void {
    guarded('application call', () => {
      const choice = tape.below(20);
      if (choice < 10) this.#actOnStreams(tape, choice);
      else this.#actOnConnection(tape, choice, now);
    });
  }

  #actOnStreams(tape: Tape, choice: number): void {
    const streamId = this.streams.length === 0 ? 0 : tape.pick(this.streams);
    switch (choice) {
      case 0:
      case 1:
      case 2: {
        if (this.sessions.length === 0 || this.#opened >= MAX_OPENED) return;
        const direction = tape.pick(['bidirectional', 'unidirectional'] as const);
        const session = tape.pick(this.sessions);
        const opened = this.webTransport.openStream(session, direction);
        if (opened === undefined) return;
        this.#order.onOpened(opened, session);
        this.#opened += 1;
        this.streams.push(opened);
        this.#write(opened, new Uint8Array(tape.below(5000)), tape.chance(20));
        return;
      }
      case 3:
      case 4:
        this.#write(streamId, new Uint8Array(tape.below(70_000)), tape.chance(20));
        return;
      case 5:
        this.webTransport.resetStream(streamId, tape.u32());
        return;
      case 6:
        this.webTransport.stopSending(streamId, tape.u32());
        return;
      case 7:
        this.webTransport.setStreamPriority(streamId, tape.below(5) - 2);
        return;
      case 8:
        this.#echo(streamId, undefined);
        return;
      default:
        this.webTransport.streamBufferedOctets(streamId);
    }
  }

  #request(): void {
    if (this.connection.role === 'server' || this.webTransport.goingAway || this.connection.closed) return;
    this.webTransport.request({ method: 'GET', authority: 'localhost', path: '/healthz' });
  }

  #windUp(tape: Tape, sessionId: number): void {
    const choice = tape.below(4);
    if (choice === 3) this.#request();
    else if (choice === 0) this.webTransport.drainSession(sessionId);
    else if (choice === 1) this.webTransport.goAway();
    else if (this.connection.role === 'client') this.dialSession();
  }

  #actOnConnection(tape: Tape, choice: number, now: number): void {
    const { connection, webTransport } = this;
    const sessionId = this.sessions.length === 0 ? 0 : tape.pick(this.sessions);
    switch (choice) {
      case 10:
      case 11: {
        const size = tape.below(webTransport.maxDatagramOctets(sessionId) + 2);
        webTransport.sendDatagram(sessionId, new Uint8Array(size));
        return;
      }
      case 12:
        webTransport.closeSession(sessionId, tape.u32(), 'x'.repeat(tape.below(2000)));
        return;
      case 13:
        this.#windUp(tape, sessionId);
        return;
      case 14:
        for (const asked of this.#asked) this.#accept(asked);
        this.#asked = [];
        return;
      case 15:
        connection.ping();
        return;
      case 16:
        connection.updateKeys();
        return;
      case 17:
        connection.rotateConnectionIds();
        return;
      case 18:
        if (connection.role === 'client')
          connection.migrate({ host: '10.0.0.1', port: 4433 + tape.below(3) }, now);
        return;
      default:
        if (tape.chance(10)) connection.close(tape.integer(), OWN_CLOSE);
    }
  }
}
