import { randomBytes } from 'node:crypto';
import { choosePacketCiphers } from '../../net/ciphers/index.ts';
import { type QuicConnection, QuicEndpoint, type QuicEvent } from '../../proto/quic/index.ts';
import { WebTransportConnection, type WebTransportEvent } from '../../proto/webtransport/index.ts';
import { fromHex } from '../../proto/wire/index.ts';
import { EndpointDriver, openPublicSocket } from '../../server/net/index.ts';

const random = (length: number) => new Uint8Array(randomBytes(length));

/** Our own client over a real socket: dials once, keeps every event, lets a test wait for one. */
export class NodeClient {
  readonly connection: QuicConnection;
  readonly webTransport: WebTransportConnection;
  readonly quicEvents: QuicEvent[] = [];
  readonly events: WebTransportEvent[] = [];
  /** Takes events of WebTransport as they come, which are then not kept. True: this one was taken. */
  take: ((event: WebTransportEvent) => boolean) | undefined;
  readonly #driver: EndpointDriver;
  #changed: (() => void)[] = [];

  private constructor(connection: QuicConnection, driver: EndpointDriver) {
    this.connection = connection;
    this.webTransport = new WebTransportConnection(connection);
    this.#driver = driver;
  }

  /** From `host`, an address of this machine, to `remoteHost`. `serverName` is what the ClientHello asks for; the certificate is checked by its hash alone. */
  static async dial(
    port: number,
    certificateHash: string,
    {
      host = '127.0.0.1',
      serverName = 'localhost',
      remoteHost = '127.0.0.1',
    }: { readonly host?: string; readonly serverName?: string; readonly remoteHost?: string } = {},
  ): Promise<NodeClient> {
    const socket = await openPublicSocket({ host, port: 0 });
    const endpoint = new QuicEndpoint({
      ciphers: choosePacketCiphers().ciphers,
      random,
      connectionIdGenerator: { length: 8, generate: () => random(8) },
      wallClockEpochMs: Date.now(),
    });
    let client: NodeClient | undefined;
    const driver = new EndpointDriver(endpoint, [socket], (item) => {
      if (item.type === 'event' && client !== undefined) client.#take(item.event);
    });
    const connection = endpoint.connect(
      {
        remote: { host: remoteHost, port },
        local: socket.local,
        serverName,
        alpnProtocols: ['h3'],
        trust: { kind: 'hashes', sha256: [fromHex(certificateHash)!] },
      },
      driver.now(),
    );
    client = new NodeClient(connection, driver);
    driver.wake();
    return client;
  }

  /** Sends what was written since. */
  wake(): void {
    this.#driver.wake();
  }

  /** The first event of that type, now or when it comes. Rejects after 30 s, or when the connection closes first. */
  async quicEvent<Type extends QuicEvent['type']>(type: Type): Promise<Extract<QuicEvent, { type: Type }>> {
    return this.#waitFor(this.quicEvents, type) as Promise<Extract<QuicEvent, { type: Type }>>;
  }

  async event<Type extends WebTransportEvent['type']>(
    type: Type,
  ): Promise<Extract<WebTransportEvent, { type: Type }>> {
    return this.#waitFor(this.events, type) as Promise<Extract<WebTransportEvent, { type: Type }>>;
  }

  async close(): Promise<void> {
    this.connection.close(0x100, '');
    await this.#driver.close();
  }

  async #waitFor<Event extends { type: string }>(list: readonly Event[], type: string): Promise<Event> {
    const end = Date.now() + 30_000;
    for (;;) {
      const found = list.find((event) => event.type === type);
      if (found) return found;
      if (Date.now() > end)
        throw new Error(`no event ${type} came; there were ${list.map((event) => event.type).join(', ')}`);
      await new Promise<void>((resolve) => {
        this.#changed.push(resolve);
        setTimeout(resolve, 500);
      });
    }
  }

  #take(event: QuicEvent): void {
    this.quicEvents.push(event);
    this.webTransport.handleEvent(event);
    for (let next = this.webTransport.poll(); next !== undefined; next = this.webTransport.poll())
      if (!this.take?.(next)) this.events.push(next);
    const changed = this.#changed;
    this.#changed = [];
    for (const resolve of changed) resolve();
    this.#driver.wake();
  }
}
