import type { Datagram, EndpointEvent, QuicEndpoint, QuicEvent } from '../../../proto/quic/index.ts';
import { DeadlineChecker } from '../checkers/deadlines.ts';
import type { NetworkHost, Packet } from '../network.ts';
import type { Setting } from '../setting.ts';
import { Violation } from '../violation.ts';

/** Events and datagrams of one host at one moment: far more than any window or queue holds. */
const MAX_TURNS = 50_000;
/** Packets that the socket of a process that stands still keeps; more are lost. */
export const SOCKET_BUFFER_PACKETS = 256;

/** Events that say how it goes with a call. */
const TOLD: ReadonlySet<QuicEvent['type']> = new Set([
  'handshakeConfirmed',
  'streamReset',
  'streamStopped',
  'pathChanged',
  'forwarderChanged',
]);

/** A host that drives an endpoint just as the server's socket driver does: poll and transmit until there is nothing. */
export abstract class EndpointHost implements NetworkHost {
  readonly name: string;
  protected readonly setting: Setting;
  protected endpoint: QuicEndpoint | undefined;
  /** Changes when the host crashes or starts: what was planned before does not happen. */
  life = 0;
  readonly #deadlines = new DeadlineChecker();
  #dirty = false;
  #served = false;
  #nextDeadline: number | undefined;
  /** While it stands still: until when, and the packets that wait in its socket. */
  #stillUntil: number | undefined;
  #waiting: Packet[] = [];

  constructor(name: string, setting: Setting) {
    this.name = name;
    this.setting = setting;
  }

  protected abstract accept(packet: Packet, now: number): void;
  protected abstract send(datagram: Datagram): void;
  protected abstract onEvent(event: EndpointEvent): void;

  get isUp(): boolean {
    return this.endpoint !== undefined;
  }

  get deadline(): number | undefined {
    return this.#stillUntil === undefined ? this.#nextDeadline : undefined;
  }

  receive(packet: Packet, now: number): void {
    if (this.#stillUntil === undefined) this.accept(packet, now);
    else if (this.endpoint !== undefined && this.#waiting.length < SOCKET_BUFFER_PACKETS)
      this.#waiting.push(packet);
  }

  /** The process gets no time until then. */
  standStill(until: number, first: 'timers' | 'packets'): void {
    if (this.endpoint === undefined || this.#stillUntil !== undefined) return;
    const { life, setting } = this;
    this.#stillUntil = until;
    setting.schedule.at(until, () => {
      if (this.life !== life || this.endpoint === undefined) return;
      const packets = this.#waiting;
      this.goOn();
      const { now } = setting;
      const serve = (): void => {
        if ((this.#nextDeadline ?? Infinity) <= now) this.onDeadline(now);
      };
      if (first === 'timers') serve();
      for (const packet of packets) this.accept(packet, now);
      if (first === 'packets') serve();
      this.touch();
    });
  }

  protected goOn(): void {
    this.#stillUntil = undefined;
    this.#waiting = [];
  }

  touch(): void {
    this.#dirty = true;
  }

  meet(what: string): void {
    this.setting.meet(what);
  }

  /** A line for readers of the trace. */
  note(text: () => string): void {
    this.setting.trace.note(this.setting.now, () => `${this.name}: ${text()}`);
  }

  /** For readers of the trace: what the connection of a call tells, streams that go well apart. */
  protected tell(call: string, event: QuicEvent): void {
    if (TOLD.has(event.type)) this.note(() => `${call}: ${JSON.stringify(event)}`);
  }

  later(ms: number, action: () => void): void {
    const { life, setting } = this;
    const run = (): void => {
      if (this.life !== life || this.endpoint === undefined) return;
      if (this.#stillUntil !== undefined) {
        setting.schedule.at(this.#stillUntil, run);
        return;
      }
      action();
      this.touch();
    };
    setting.schedule.at(setting.now + ms, run);
  }

  onDeadline(now: number): void {
    const { endpoint } = this;
    if (endpoint === undefined) return;
    endpoint.onDeadline(now);
    for (const connection of endpoint.connections()) this.setting.congestion.check(connection);
    this.#served = true;
    this.touch();
  }

  /** Takes events and sends until neither is left. Returns whether there was anything to look at. */
  settle(now: number): boolean {
    if (!this.#dirty || this.#stillUntil !== undefined) return false;
    this.#dirty = false;
    const { endpoint } = this;
    if (endpoint === undefined) {
      this.#nextDeadline = undefined;
      return true;
    }
    let turns = 0;
    for (let busy = true; busy; ) {
      busy = false;
      for (let event = endpoint.poll(); event !== undefined; event = endpoint.poll()) {
        busy = true;
        if (++turns > MAX_TURNS)
          throw new Violation('deadlines', `${this.name} has events without end at ${now}`);
        if (event.type === 'event') this.#meet(event.event);
        this.onEvent(event);
        if (this.endpoint !== endpoint) return true;
      }
      for (let sent = endpoint.transmit(now); sent !== undefined; sent = endpoint.transmit(now)) {
        busy = true;
        if (++turns > MAX_TURNS) throw new Violation('deadlines', `${this.name} sends without end at ${now}`);
        this.send(sent);
        for (const connection of endpoint.connections()) this.setting.congestion.check(connection, sent.path);
      }
    }
    for (const connection of endpoint.connections()) {
      this.setting.congestion.check(connection);
      this.setting.memory.checkConnection(this.name, connection);
    }
    this.#nextDeadline = endpoint.deadline();
    if (this.#served) this.#deadlines.onServed(this.name, this.#nextDeadline, now);
    this.#served = false;
    return true;
  }

  #meet(event: QuicEvent): void {
    const { type } = event;
    if (type === 'closed') {
      const { reason } = event;
      this.setting.meet(`closed: ${reason.kind}${'by' in reason ? ` by ${reason.by}` : ''}`);
    } else if (type === 'pathChanged') this.setting.meet(event.validated ? 'path validated' : 'path changed');
    else if (!type.startsWith('streamW') && !type.startsWith('streamRead')) this.setting.meet(type);
  }

  /** At the end of a run: nothing may be left. */
  checkEmpty(): void {
    if (this.endpoint !== undefined) this.setting.memory.checkEmpty(this.name, this.endpoint);
  }
}
