import { randomBytes } from 'node:crypto';
import { choosePacketCiphers } from '../../net/ciphers/index.ts';
import { type Address, type QuicConnection, QuicEndpoint, type QuicEvent } from '../../proto/quic/index.ts';
import { WebTransportConnection, type WebTransportEvent } from '../../proto/webtransport/index.ts';
import { EndpointDriver, openPublicSocket, type PacketSocket } from '../../server/net/index.ts';
import { Session } from '../../server/webtransport/session.ts';
import { passToSession } from '../../server/webtransport/session-events.ts';

const LOOPBACK = '127.0.0.1';
/** Time that a session which the page closed gets to tell its backend, in ms. */
const CLOSING_MS = 500;
/** H3_NO_ERROR (RFC 9114 §8.1). */
const NO_ERROR = 0x100;

const random = (length: number) => new Uint8Array(randomBytes(length));
const { ciphers } = choosePacketCiphers();

interface CloseInfo {
  readonly closeCode?: number;
  readonly reason?: string;
}

interface Options {
  readonly serverCertificateHashes?: readonly { readonly value: Uint8Array }[];
}

/**
 * `WebTransport` as a page knows it, over our own client: one connection with a UDP socket of its own for each session, as browsers
 * have it. Every host name is this machine, or what `openSocket` says.
 */
export class NodeWebTransport {
  /** A socket for a session to this port, and the address that is dialled. */
  static openSocket = async (port: number): Promise<{ socket: PacketSocket; remote: Address }> => ({
    socket: await openPublicSocket({ host: LOOPBACK, port: 0 }),
    remote: { host: LOOPBACK, port },
  });
  /** All whose session stands. */
  static readonly standing = new Set<NodeWebTransport>();
  readonly ready: Promise<void>;
  readonly closed: Promise<CloseInfo>;
  #session: Session | undefined;
  #machine: WebTransportConnection | undefined;
  #connection: QuicConnection | undefined;
  #driver: EndpointDriver | undefined;
  #over = false;
  #silent = false;
  #settleReady!: { resolve(): void; reject(error: Error): void };
  #settleClosed!: { resolve(info: CloseInfo): void; reject(error: Error): void };

  constructor(url: string, { serverCertificateHashes = [] }: Options = {}) {
    this.ready = new Promise((resolve, reject) => {
      this.#settleReady = { resolve, reject };
    });
    this.closed = new Promise((resolve, reject) => {
      this.#settleClosed = { resolve, reject };
    });
    this.ready.catch(() => {});
    this.closed.catch(() => {});
    const hashes = serverCertificateHashes.map(({ value }) => value);
    this.#dial(new URL(url), hashes).catch((error: Error) => this.#lose(error));
  }

  get incomingUnidirectionalStreams(): unknown {
    return this.#session?.incomingUnidirectionalStreams;
  }

  createBidirectionalStream(options?: { sendOrder?: number }): Promise<unknown> {
    return this.#standing.createBidirectionalStream(options);
  }

  createUnidirectionalStream(options?: { sendOrder?: number }): Promise<unknown> {
    return this.#standing.createUnidirectionalStream(options);
  }

  close(info: CloseInfo = {}): void {
    if (this.#session === undefined) this.#lose(new Error('closed before it was ready'));
    else this.#session.close(info);
  }

  /** The interface that it used is gone: the page hears so at once, and its backend hears nothing more. */
  vanish(): void {
    this.#silent = true;
    this.#lose(new Error('the interface is gone'));
  }

  get #standing(): Session {
    if (this.#session === undefined) throw new Error('the session does not stand');
    return this.#session;
  }

  async #dial(url: URL, sha256: Uint8Array[]): Promise<void> {
    const { socket, remote } = await NodeWebTransport.openSocket(Number(url.port));
    const endpoint = new QuicEndpoint({
      ciphers,
      random,
      connectionIdGenerator: { length: 8, generate: () => random(8) },
      wallClockEpochMs: Date.now(),
    });
    const driver = new EndpointDriver(endpoint, [socket], (item) => {
      if (item.type === 'event') this.#take(item.event);
    });
    this.#driver = driver;
    if (this.#over) return this.#end();
    const connection = endpoint.connect(
      {
        remote,
        local: socket.local,
        serverName: url.hostname,
        alpnProtocols: ['h3'],
        trust: { kind: 'hashes', sha256 },
      },
      driver.now(),
    );
    this.#connection = connection;
    this.#machine = new WebTransportConnection(connection);
    this.#machine.connectSession({ authority: url.host, path: `${url.pathname}${url.search}` });
    driver.wake();
  }

  #take(event: QuicEvent): void {
    if (event.type === 'closed') this.#session?.end(new Error(`the connection ended (${event.reason.kind})`));
    this.#machine?.handleEvent(event);
    for (let next = this.#machine?.poll(); next !== undefined; next = this.#machine?.poll()) this.#told(next);
    if (event.type === 'closed') this.#lose(new Error(`the connection ended (${event.reason.kind})`));
  }

  #told(event: WebTransportEvent): void {
    const session = this.#session;
    switch (event.type) {
      case 'sessionEstablished':
        this.#stand(event.sessionId, event.protocol ?? '');
        break;
      case 'sessionRejected':
        this.#lose(new Error(`refused with ${event.status}`));
        break;
      case 'sessionClosed':
        session?.keepUnread(event.unread ?? []);
        session?.end(
          event.clean ? { closeCode: event.code, reason: event.reason } : new Error(event.reason || 'lost'),
        );
        break;
      default:
        if (session !== undefined) passToSession(session, event);
    }
  }

  #stand(sessionId: number, protocol: string): void {
    const { path } = this.#connection!;
    const request = {
      path: '/',
      query: new URLSearchParams(),
      authority: '',
      origin: undefined,
      headers: [],
      protocols: [],
      remoteAddress: path.remote,
    };
    const owner = { machine: this.#machine!, wake: () => this.#driver?.wake() };
    const session = new Session(sessionId, request, protocol, this.#connection!, owner);
    this.#session = session;
    NodeWebTransport.standing.add(this);
    session.closed.then(this.#settleClosed.resolve, this.#settleClosed.reject).finally(() => {
      NodeWebTransport.standing.delete(this);
      setTimeout(() => void this.#end(), CLOSING_MS);
    });
    this.#settleReady.resolve();
  }

  #lose(error: Error): void {
    this.#settleReady.reject(error);
    if (this.#session === undefined) this.#settleClosed.reject(error);
    else this.#session.end(error);
    void this.#end();
  }

  async #end(): Promise<void> {
    this.#over = true;
    const connection = this.#connection;
    if (connection !== undefined && !connection.closed && !this.#silent) connection.close(NO_ERROR, '');
    // Not within an event of the driver itself.
    await new Promise((resolve) => setImmediate(resolve));
    await this.#driver?.close();
  }
}
