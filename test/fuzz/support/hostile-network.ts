import { RoutingTable, route } from '../../../lb/route.ts';
import {
  type Datagram,
  type QuicConnection,
  type QuicEvent,
  TransportErrorCode,
} from '../../../proto/quic/index.ts';
import {
  createConnectionIdGenerator,
  parseClusterFile,
  type QuicLbConfig,
} from '../../../proto/quic-lb/index.ts';
import { CipherSuite, NamedGroup } from '../../../proto/tls/index.ts';
import { WebTransportConnection, type WebTransportEvent } from '../../../proto/webtransport/index.ts';
import { seededRandom } from '../../support/quic-fixtures.ts';
import { CLIENT_ADDRESS, type Direction, QuicPair, SERVER_ADDRESS } from '../../support/quic-pair.ts';
import { patternOctets } from '../../support/quic-traffic.ts';
import { Finding, guarded, must, type Tape } from './tape.ts';

const KEY = '8f95f09245765f80256934e50c66207f';
const CLUSTER = {
  quicLb: [{ configRotation: 0, serverIdLength: 2, nonceLength: 6, key: KEY, firstOctetEncodesLength: true }],
  routingKey: '11'.repeat(32),
  statelessResetKey: '22'.repeat(32),
  backends: [
    { name: 'one', serverId: '0001', tunnel: '10.0.1.1:5001' },
    { name: 'two', serverId: '0002', tunnel: '10.0.1.2:5002' },
  ],
  forwarders: ['10.0.0.1'],
};
const PATIENT = { maxIdleTimeoutMs: 600_000, handshakeTimeoutMs: 600_000 };
/** Virtual time in which a healed network must bring everything. */
const HEALED_MS = 1_200_000;

/** Two honest sides and a network that flips, cuts, joins, repeats, delays, loses and moves what they send. */
class HostileNetwork {
  readonly #tape: Tape;
  readonly #pair: QuicPair;
  readonly #table: RoutingTable;
  readonly #layers = new Map<QuicConnection, WebTransportConnection>();
  readonly #kept: { direction: Direction; datagram: Datagram }[] = [];
  readonly #received = new Map<number, Uint8Array[]>();
  readonly #finished = new Set<number>();
  readonly #sent = new Map<number, number>();
  readonly #percent: number;
  readonly #asksForRetry: boolean;
  #healed = false;
  #established: number | undefined;
  #ended = 'open';

  constructor(tape: Tape) {
    this.#tape = tape;
    this.#percent = tape.pick([1, 5, 10, 20, 35]);
    const seed = tape.u8() + 1;
    const parsed = parseClusterFile(JSON.stringify(CLUSTER));
    if (!parsed.ok) throw new Error(parsed.faults.join(' '));
    this.#table = new RoutingTable(parsed.value);
    const random = seededRandom(seed);
    const config = parsed.value.quicLb[0] as QuicLbConfig;
    const generator = createConnectionIdGenerator(config, Uint8Array.of(0, 1), random);
    this.#asksForRetry = tape.chance(25);
    this.#pair = new QuicPair({
      seed,
      clientTransport: PATIENT,
      serverTransport: { ...PATIENT, keyUpdatePackets: tape.pick([20, 2 ** 22]) },
      server: { requireRetry: () => this.#asksForRetry },
      serverOptions: { connectionIdGenerator: generator },
      tap: (direction, data) => this.#pass(direction, data),
    });
    this.#pair.onEvent = (connection, event) => this.#told(connection, event);
  }

  #pass(direction: Direction, data: Uint8Array): Uint8Array | undefined {
    if (direction === 'toServer') this.#checkRoute(data, true);
    const tape = this.#tape;
    if (this.#healed || !tape.chance(this.#percent)) return data;
    const path =
      direction === 'toServer'
        ? { local: CLIENT_ADDRESS, remote: SERVER_ADDRESS }
        : { local: SERVER_ADDRESS, remote: this.#pair.outside(CLIENT_ADDRESS) };
    const send = (octets: Uint8Array, delayMs: number) =>
      this.#pair.inject(direction, { data: octets, path }, delayMs);
    if (this.#kept.length < 40) this.#kept.push({ direction, datagram: { data: data.slice(), path } });
    switch (tape.below(7)) {
      case 0:
        return undefined;
      case 1:
      case 2: {
        const changed = tape.mutate(data);
        if (direction === 'toServer') this.#checkRoute(changed, false);
        return changed;
      }
      case 3:
        send(data.slice(), tape.below(3000));
        return data;
      case 4:
        send(data, tape.below(500));
        return undefined;
      case 5:
        return new Uint8Array(Buffer.concat([data, tape.chance(50) ? tape.bytes(tape.below(100)) : data]));
      default:
        this.#replay();
        return data;
    }
  }

  #replay(): void {
    const { direction, datagram } = this.#tape.pick(this.#kept);
    this.#pair.inject(
      direction,
      { ...datagram, data: this.#tape.mutate(datagram.data) },
      this.#tape.below(100),
    );
  }

  /** The forwarder's decision never throws, and a CID of ours leads to its owner. */
  #checkRoute(data: Uint8Array, genuine: boolean): void {
    const decision = guarded('route', () => route(data, CLIENT_ADDRESS, this.#table));
    // Up to 42 octets it may be a Stateless Reset, whose CID is random.
    if (!genuine || data.length <= 42 || (data[0]! & 0x80) !== 0) return;
    const right = decision.action === 'cid' && decision.backend === 0;
    must(right, 'CIDs are routable', `${decision.action} for a packet of ${data.length} octets`);
  }

  #told(connection: QuicConnection, event: QuicEvent): void {
    const layer = this.#layerOf(connection);
    if (event.type === 'closed') this.#onClosed(event.reason);
    guarded(`WebTransport with ${event.type}`, () => layer.handleEvent(event));
    for (let next = layer.poll(); next !== undefined; next = layer.poll()) {
      const told = next;
      guarded(`application with ${told.type}`, () =>
        connection.role === 'server' ? this.#atServer(layer, told) : this.#atClient(layer, told),
      );
    }
  }

  #layerOf(connection: QuicConnection): WebTransportConnection {
    const layer = this.#layers.get(connection) ?? new WebTransportConnection(connection);
    this.#layers.set(connection, layer);
    return layer;
  }

  #onClosed(reason: Extract<QuicEvent, { type: 'closed' }>['reason']): void {
    // Once one side has gone, the other may end in any way.
    if (this.#ended !== 'open') return;
    this.#ended = reason.kind;
    const timedOut = reason.kind === 'idle-timeout' || reason.kind === 'handshake-timeout';
    const unreachable = reason.kind === 'transport' && reason.code === TransportErrorCode.NO_VIABLE_PATH;
    // RFC 9000 §8.1.2: a Retry token is good for one address and a few seconds; a NAT or a delay can void it before it arrives.
    const refused = reason.kind === 'transport' && reason.code === TransportErrorCode.INVALID_TOKEN;
    if (unreachable && !this.#healed) this.#ended = 'no viable path';
    else if (refused && this.#asksForRetry && this.#established === undefined) this.#ended = 'token refused';
    else if (!timedOut)
      throw new Finding('a network without keys ends no connection', JSON.stringify(reason));
  }

  #atServer(layer: WebTransportConnection, event: WebTransportEvent): void {
    if (event.type === 'sessionRequested') layer.acceptSession(event.sessionId);
    if (event.type !== 'streamReadable') return;
    for (let read = layer.readStream(event.streamId); read; read = layer.readStream(event.streamId))
      layer.writeStream(event.streamId, read.data.slice(), read.fin);
  }

  #atClient(layer: WebTransportConnection, event: WebTransportEvent): void {
    if (event.type === 'sessionEstablished') this.#established = event.sessionId;
    if (event.type !== 'streamReadable') return;
    const parts = this.#received.get(event.streamId) ?? [];
    this.#received.set(event.streamId, parts);
    for (let read = layer.readStream(event.streamId); read; read = layer.readStream(event.streamId)) {
      parts.push(read.data.slice());
      if (read.fin) this.#finished.add(event.streamId);
    }
  }

  #step(connection: QuicConnection, client: WebTransportConnection): void {
    const tape = this.#tape;
    const pair = this.#pair;
    switch (tape.below(8)) {
      case 0:
        pair.translate(CLIENT_ADDRESS, { host: '192.0.2.7', port: 1024 + tape.below(8) });
        return;
      case 1:
        pair.via = { host: '10.0.0.9', port: 4433 + tape.below(3) };
        return;
      case 2:
        connection.updateKeys();
        return;
      case 3:
        for (const accepted of pair.accepted) accepted.rotateConnectionIds();
        return;
      case 4:
      case 5: {
        if (this.#established === undefined || this.#sent.size >= 12) return;
        const streamId = client.openStream(this.#established, 'bidirectional');
        if (streamId === undefined) return;
        const length = tape.below(60_000);
        this.#sent.set(streamId, length);
        client.writeStream(streamId, patternOctets(streamId, length), true);
        return;
      }
      default:
        pair.run(() => false, tape.pick([1, 10, 100, 1000, 20_000]));
    }
  }

  run(): string {
    const pair = this.#pair;
    const shares = [[NamedGroup.X25519], [NamedGroup.SECP256R1], []];
    const connection = pair.connect({
      keyShareGroups: this.#tape.pick(shares),
      cipherSuites: [this.#tape.pick(Object.values(CipherSuite))],
    });
    const client = this.#layerOf(connection);
    client.connectSession({ authority: 'localhost', path: '/fuzz' });
    for (let step = 0; step < 60 && !this.#tape.ended; step++) this.#step(connection, client);
    this.#healed = true;
    const done = () => this.#ended !== 'open' || [...this.#sent.keys()].every((id) => this.#finished.has(id));
    const arrived = pair.run(done, HEALED_MS);
    must(arrived, 'a healthy network makes progress', `${this.#finished.size} of ${this.#sent.size} streams`);
    if (this.#ended === 'open') this.#compare();
    return this.#ended;
  }

  #compare(): void {
    for (const [streamId, length] of this.#sent) {
      const got = Buffer.concat(this.#received.get(streamId) ?? []);
      const right = Buffer.compare(got, patternOctets(streamId, length)) === 0;
      must(right, 'every octet once and in order', `stream ${streamId}: ${got.length} of ${length} octets`);
    }
  }
}

export function disturb(tape: Tape): string {
  return guarded('a pair over a hostile network', () => new HostileNetwork(tape).run());
}
