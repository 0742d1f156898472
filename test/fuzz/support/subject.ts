import type { ConnectionState } from '../../../proto/quic/connection/state.ts';
import { type Datagram, type QuicConnection, QuicEndpoint } from '../../../proto/quic/index.ts';
import { TEST_CIPHERS } from '../../support/ciphers.ts';
import {
  ENGINE_ADDRESS,
  ENGINE_ID_OCTETS,
  Engine,
  PEER_ADDRESS,
  type Target,
} from '../../support/conformance-engine.ts';
import { randomConnectionIds, seededRandom, testCertificate } from '../../support/quic-fixtures.ts';
import { App } from './app.ts';
import { guarded, must } from './tape.ts';

/** Datagrams sent at one moment without anything received: what the congestion window never allows. */
const MAX_BURST = 3000;
/** Rounds in which what is due stays due. */
const MAX_STUCK_ROUNDS = 50;
/** Octets of UDP payload that the engine sends at most in one datagram. */
const MAX_DATAGRAM_OCTETS = 1500;

/** One side under test: its engine behind the five calls, an application upon it, and an eye on every promise. */
export abstract class Subject implements Target {
  readonly apps = new Map<QuicConnection, App>();
  readonly #seed: number;
  #burst = 0;
  #burstAt = Number.NaN;
  #stuck = 0;
  #lastDeadline = Number.NaN;
  readonly #received = new Map<string, number>();
  readonly #sent = new Map<string, number>();
  #amplifies = true;

  constructor(seed: number) {
    this.#seed = seed;
  }

  protected abstract readonly core: Target;
  /** Hands over every event that waits. */
  protected abstract drain(): void;
  /** Bounds that the core can be asked for. */
  abstract check(): void;
  /** Whether nothing of a connection is left. */
  abstract get empty(): boolean;
  /** Makes it a client whose first flight waits to be sent. */
  abstract dial(now: number): void;

  protected appOf(connection: QuicConnection): App {
    const app = this.apps.get(connection) ?? new App(connection, this.#seed);
    this.apps.set(connection, app);
    return app;
  }

  receive(datagram: Datagram, now: number): void {
    this.#burst = 0;
    const from = datagram.path.remote.host;
    this.#received.set(from, (this.#received.get(from) ?? 0) + datagram.data.length);
    guarded('receive', () => this.core.receive(datagram, now));
    this.#pump();
  }

  transmit(now: number): Datagram | undefined {
    const sent = guarded('transmit', () => this.core.transmit(now));
    this.#pump();
    if (sent === undefined) return undefined;
    if (this.#burstAt !== now) this.#burst = 0;
    this.#burstAt = now;
    this.#burst += 1;
    must(this.#burst <= MAX_BURST, 'transmit comes to an end', `${MAX_BURST} datagrams at ${now}`);
    const { length } = sent.data;
    must(length > 0 && length <= MAX_DATAGRAM_OCTETS, 'datagrams fit the path', `${length} octets`);
    this.#checkAmplification(sent);
    return sent;
  }

  /** RFC 9000 §8.1, by host: until a handshake is done no host is sent more than three times what came. */
  #checkAmplification({ data, path }: Datagram): void {
    const host = path.remote.host;
    const sent = (this.#sent.get(host) ?? 0) + data.length;
    this.#sent.set(host, sent);
    if (
      [...this.apps.values()].some(
        ({ connection }) => connection.stats().handshakeMs !== undefined || connection.role === 'client',
      )
    )
      this.#amplifies = false;
    if (!this.#amplifies) return;
    const received = this.#received.get(host) ?? 0;
    must(sent <= 3 * received, 'amplification', `${sent} octets for ${received} to ${host}`);
  }

  deadline(): number | undefined {
    const at = guarded('deadline', () => this.core.deadline());
    must(at === undefined || Number.isFinite(at), 'deadlines are times', `${at}`);
    return at;
  }

  onDeadline(now: number): void {
    guarded('onDeadline', () => this.core.onDeadline(now));
    this.#pump();
    const same = this.#lastDeadline === now;
    this.#stuck = same ? this.#stuck + 1 : 0;
    this.#lastDeadline = now;
    must(this.#stuck <= MAX_STUCK_ROUNDS, 'no deadline stays in the past', `still due at ${now}`);
  }

  #pump(): void {
    guarded('poll', () => this.drain());
    for (const { connection, webTransport } of this.apps.values()) {
      for (const [name, figure] of Object.entries(connection.stats()))
        must(figure === undefined || figure >= 0, 'figures are numbers', `${name} is ${figure}`);
      must(
        webTransport.streamCount <= 1000,
        'streams are bounded',
        `${webTransport.streamCount} in WebTransport`,
      );
    }
  }

  /** No peer answers any more: every connection must end, and everything of it must go. */
  finish(now: number): void {
    let at = now;
    for (let round = 0; round < 2000; round++) {
      while (this.transmit(at) !== undefined);
      const due = this.deadline();
      if (due === undefined) break;
      at = Math.max(at, due);
      this.onDeadline(at);
    }
    must(this.deadline() === undefined, 'silence ends a connection', `a deadline is left at ${at}`);
    must(this.empty, 'silence ends a connection', 'something of it is left');
    for (const app of this.apps.values()) must(app.closed === 1, 'one closed event', `${app.closed}`);
  }
}

/** A whole endpoint: CIDs, newcomers, stateless answers. */
export class EndpointSubject extends Subject {
  protected readonly core: QuicEndpoint;

  constructor(seed: number, role: 'client' | 'server', requireRetry = false) {
    super(seed);
    const random = seededRandom(seed);
    this.core = new QuicEndpoint({
      ciphers: TEST_CIPHERS,
      random,
      connectionIdGenerator: randomConnectionIds(random, ENGINE_ID_OCTETS),
      ...(role === 'server' && {
        server: {
          tls: { certificates: [testCertificate], alpnProtocols: ['test'] },
          requireRetry: () => requireRetry,
          maxConnections: 20,
        },
      }),
    });
  }

  dial(now: number): void {
    const connection = this.core.connect(
      {
        remote: PEER_ADDRESS,
        local: ENGINE_ADDRESS,
        serverName: 'localhost',
        alpnProtocols: ['test'],
        trust: { kind: 'any' },
      },
      now,
    );
    this.appOf(connection);
  }

  protected drain(): void {
    for (let event = this.core.poll(); event !== undefined; event = this.core.poll()) {
      const app = this.appOf(event.connection);
      if (event.type === 'event') app.handle(event.event);
    }
  }

  check(): void {
    const { connections, halfOpen } = this.core.stats();
    must(connections <= 20, 'connections are bounded', `${connections}`);
    must(
      halfOpen >= 0 && halfOpen <= connections,
      'half-open ones are counted',
      `${halfOpen} of ${connections}`,
    );
  }

  get empty(): boolean {
    const { connections, halfOpen } = this.core.stats();
    return connections === 0 && halfOpen === 0;
  }
}

/** One connection without its endpoint, whose inner tables are in sight. */
export class EngineSubject extends Subject {
  protected readonly core = new Engine();

  constructor(seed: number) {
    super(seed);
    this.core.polls = false;
  }

  dial(now: number): void {
    this.core.dial(now);
    this.appOf(this.core.connection);
  }

  protected drain(): void {
    const { connection } = this.core;
    if (connection === undefined) return;
    const app = this.appOf(connection);
    for (let event = connection.poll(); event !== undefined; event = connection.poll()) app.handle(event);
  }

  check(): void {
    if (this.core.connection === undefined) return;
    const { state, owner } = this.core;
    checkState(state);
    must(owner.mostIds <= 32, 'CIDs are bounded', `${owner.mostIds} of ours`);
    must(owner.tokens.size <= 8, 'CIDs are bounded', `${owner.tokens.size} reset tokens of the peer`);
  }

  get empty(): boolean {
    const { connection, owner } = this.core;
    return (
      connection === undefined || (connection.finished && owner.ids.size === 0 && owner.tokens.size === 0)
    );
  }
}

function checkState(state: ConnectionState): void {
  const bound = (what: string, value: number, most: number) =>
    must(value <= most, 'memory is bounded', `${what}: ${value}, at most ${most}`);
  bound('open streams', state.streams.openStreams, 100 + 100 + 60);
  for (const space of state.spaces) bound(`ack ranges of ${space.name}`, space.ack.rangeCount, 256);
  bound('octets of datagrams to send', state.datagramsOut.octets, state.config.datagramSendQueueOctets);
  bound('paths', state.paths.others.length, 3);
  // Eight, and eight that the peer was asked to leave.
  bound('CIDs', state.localIds.activeCount, 16);
  for (const path of [state.paths.active, ...state.paths.others])
    bound('challenges', path.responses.length, 4);
  const { bytesInFlight, congestionWindowOctets } = state.recovery;
  must(congestionWindowOctets >= 2400, 'the window stays open', `${congestionWindowOctets} octets`);
  bound('octets in flight', bytesInFlight, congestionWindowOctets + 40 * 1200);
}
