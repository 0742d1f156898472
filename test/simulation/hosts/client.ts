import {
  type Address,
  type Datagram,
  type EndpointEvent,
  formatAddress,
  type QuicConnection,
  QuicEndpoint,
  type TransportConfig,
} from '../../../proto/quic/index.ts';
import type { SessionTicket } from '../../../proto/tls/index.ts';
import { WebTransportConnection } from '../../../proto/webtransport/index.ts';
import { TEST_CIPHERS } from '../../support/ciphers.ts';
import { START_EPOCH_MS, TRUST } from '../cluster.ts';
import type { Packet } from '../network.ts';
import { SeededRandom } from '../random.ts';
import type { Setting } from '../setting.ts';
import type { Call } from '../workloads/call.ts';
import { deliver } from './deliver.ts';
import { EndpointHost } from './endpoint-host.ts';

/** What is spoken over QUIC: HTTP/3, or streams as they are. */
export const alpn = (web: boolean): string => (web ? 'h3' : 'simulation');
const CID_OCTETS = 8;

/** A client behind a NAT: one endpoint, one connection per call. */
export class ClientHost extends EndpointHost {
  readonly #transport: Partial<TransportConfig>;
  readonly #random: SeededRandom;
  readonly #calls = new Map<QuicConnection, Call>();
  readonly #addresses = new Map<string, Address>();
  readonly #host: string;
  readonly #takesTickets: boolean;
  /** Sessions to resume, the newest first. They outlive a crash, as those of a browser do. */
  readonly #tickets: SessionTicket[] = [];
  #nextPort = 5000;

  constructor(index: number, setting: Setting, transport: Partial<TransportConfig>, takesTickets: boolean) {
    super(`client-${index + 1}`, setting);
    this.#takesTickets = takesTickets;
    this.#host = `192.168.${index + 1}.2`;
    this.#transport = transport;
    this.#random = new SeededRandom(setting.seed, this.name);
    this.start();
  }

  start(): void {
    const random = this.#random.octets;
    this.life = this.setting.newLife();
    this.endpoint = new QuicEndpoint({
      ciphers: TEST_CIPHERS,
      random,
      connectionIdGenerator: { length: CID_OCTETS, generate: () => random(CID_OCTETS) },
      transport: this.#transport,
      wallClockEpochMs: START_EPOCH_MS,
    });
    this.touch();
  }

  crash(): void {
    for (const call of this.#calls.values()) call.end('client', { kind: 'crashed' }, this.setting.now);
    this.#calls.clear();
    this.endpoint = undefined;
    this.goOn();
    this.touch();
  }

  #newAddress(): Address {
    const address = { host: this.#host, port: this.#nextPort++ };
    this.#addresses.set(formatAddress(address), address);
    return address;
  }

  dial(call: Call, remote: Address): void {
    const { endpoint, setting } = this;
    if (endpoint === undefined) {
      call.end('client', { kind: 'crashed' }, setting.now);
      return;
    }
    const web = call.plan.web !== undefined;
    const address = this.#newAddress();
    call.addresses.push(address);
    const session = this.#tickets.shift();
    if (session !== undefined) setting.resumption.onOffer(call.name, session);
    const connection = endpoint.connect(
      {
        remote,
        local: address,
        serverName: call.serverName,
        alpnProtocols: [alpn(web)],
        trust: TRUST,
        wallClockEpochMs: START_EPOCH_MS + setting.now,
        session,
        ...(call.plan.keyShareGroups && { keyShareGroups: call.plan.keyShareGroups }),
        ...(this.#takesTickets && { onTicket: (ticket) => this.#keep(call, ticket) }),
      },
      setting.now,
    );
    if (web) connection.context = new WebTransportConnection(connection);
    this.#calls.set(connection, call);
    setting.trace.note(setting.now, () => {
      const from = `${this.name}:${address.port}`;
      return `${from} dials ${call.name} at ${formatAddress(remote)}${session ? ', with a ticket' : ''}`;
    });
    this.touch();
  }

  #keep(call: Call, ticket: SessionTicket): void {
    this.meet('ticket');
    this.setting.resumption.onTicket(ticket, call.dialledAt, this.setting.now);
    // The newest is offered first: it is good for longest.
    this.#tickets.unshift(ticket);
  }

  /** All calls of this client move to other addresses of its own. */
  migrateAll(): void {
    for (const connection of this.#calls.keys()) this.migrate(connection);
    this.touch();
  }

  migrate(connection: QuicConnection): void {
    if (connection.role !== 'client') return;
    const address = this.#newAddress();
    const moved = connection.migrate(address, this.setting.now);
    const call = this.#calls.get(connection);
    if (moved && call !== undefined) {
      call.addresses.push(address);
      this.setting.trace.note(this.setting.now, () => `${call.name} moves to ${this.name}:${address.port}`);
    }
    this.meet(moved ? 'migration' : 'migration refused');
  }

  protected accept(packet: Packet, now: number): void {
    const local = this.#addresses.get(formatAddress(packet.to));
    if (this.endpoint === undefined || local === undefined) return;
    deliver(this.endpoint, { data: packet.data, path: { local, remote: packet.from } }, now);
    this.touch();
  }

  protected send(datagram: Datagram): void {
    const { data, path } = datagram;
    const origin = this.setting.origin(0, this.name);
    this.setting.network.sendFromClient(this, { from: path.local, to: path.remote, data, origin });
  }

  protected onEvent(event: EndpointEvent): void {
    if (event.type !== 'event') return;
    const { connection, event: news } = event;
    const call = this.#calls.get(connection);
    if (call === undefined) return;
    const { now, trace } = this.setting;
    (connection.context as WebTransportConnection | undefined)?.handleEvent(news);
    if (news.type === 'connected') {
      trace.event(now, `${this.name}: ${call.name} is connected`);
      this.setting.resumption.onConnected(call.name, connection.resumed, call.dialledAt, now);
      if (connection.resumed) this.meet('resumed');
      call.start(connection, this, now);
    }
    this.tell(call.name, news);
    call.handle('client', news, now);
    if (news.type !== 'closed') return;
    trace.event(now, `${this.name}: ${call.name} ended, ${JSON.stringify(news.reason)}`);
    this.#calls.delete(connection);
    this.setting.onCallEnded(call);
  }
}
