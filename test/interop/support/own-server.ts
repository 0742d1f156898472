import { randomBytes, X509Certificate } from 'node:crypto';
import { createDevelopmentCertificate } from '../../../certs/index.ts';
import { type QuicConnection, QuicEndpoint, type TransportConfig } from '../../../proto/quic/index.ts';
import { EndpointDriver, openPublicSocket } from '../../../server/net/index.ts';
import {
  CLIENT_STREAM_LIMITS,
  type SessionDecision,
  type SessionRequest,
  WebTransportHost,
  type WebTransportSession,
} from '../../../server/webtransport/index.ts';

const H3_NO_ERROR = 0x100;

/** A server in this process: a test holds its end of each session, and sees what another client does to it. */
export class OwnServer {
  readonly certificateHash: string;
  readonly certificatePem: string;
  /** Refuses a request with a status, or takes it. */
  refuse: (request: SessionRequest) => number | undefined = () => undefined;
  readonly #endpoint: QuicEndpoint;
  readonly #driver: EndpointDriver;
  readonly #hosts = new Map<QuicConnection, WebTransportHost>();
  readonly #sessions: WebTransportSession[] = [];
  readonly #takers: ((session: WebTransportSession) => void)[] = [];
  readonly port: number;

  constructor(
    certificate: { readonly sha256Hex: string; readonly der: Uint8Array },
    endpoint: QuicEndpoint,
    socket: Awaited<ReturnType<typeof openPublicSocket>>,
  ) {
    this.certificateHash = certificate.sha256Hex;
    this.certificatePem = new X509Certificate(certificate.der).toString();
    this.#endpoint = endpoint;
    this.port = socket.local.port;
    this.#driver = new EndpointDriver(endpoint, [socket], (item) => {
      const { connection } = item;
      if (item.type === 'incoming') this.#hosts.set(connection, this.#host(connection));
      else {
        this.#hosts.get(connection)?.handle(item.event);
        if (item.event.type === 'closed') this.#hosts.delete(connection);
      }
    });
  }

  #host(connection: QuicConnection): WebTransportHost {
    const accept = (session: WebTransportSession) => {
      const take = this.#takers.shift();
      if (take === undefined) this.#sessions.push(session);
      else take(session);
    };
    const decide = (request: SessionRequest): SessionDecision => {
      const status = this.refuse(request);
      if (status !== undefined) return { refuse: status };
      // The last one: a test must see that it was chosen, not taken for granted.
      const protocol = request.protocols.at(-1);
      return protocol === undefined ? { accept } : { accept, protocol };
    };
    const answer = () => ({ status: 404, contentType: 'text/plain', body: '' });
    return new WebTransportHost(connection, { decide, answer }, () => this.#driver.wake());
  }

  /** The next session that was taken, in their order. */
  session(): Promise<WebTransportSession> {
    const waiting = this.#sessions.shift();
    return waiting === undefined
      ? new Promise((resolve) => this.#takers.push(resolve))
      : Promise.resolve(waiting);
  }

  /** Connections that the endpoint knows. */
  get connections(): number {
    return this.#endpoint.stats().connections;
  }

  /** One of them, for tests that ask whether it is forgotten. */
  get anyConnection(): QuicConnection | undefined {
    return this.#hosts.keys().next().value;
  }

  async close(): Promise<void> {
    for (const connection of this.#hosts.keys()) connection.close(H3_NO_ERROR, 'the test is over');
    await this.#driver.close();
  }
}

export async function startOwnServer(transport: Partial<TransportConfig> = {}): Promise<OwnServer> {
  const random = (length: number) => new Uint8Array(randomBytes(length));
  const certificate = createDevelopmentCertificate({
    now: new Date(),
    hosts: ['localhost', '127.0.0.1'],
  });
  const endpoint = new QuicEndpoint({
    random,
    connectionIdGenerator: { length: 8, generate: () => random(8) },
    server: {
      tls: {
        certificates: [{ chain: [certificate.der], privateKey: certificate.privateKey }],
        alpnProtocols: ['h3'],
      },
    },
    transport: { ...CLIENT_STREAM_LIMITS, ...transport },
  });
  return new OwnServer(certificate, endpoint, await openPublicSocket({ host: '127.0.0.1', port: 0 }));
}
