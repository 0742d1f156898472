import type { IncomingMessage } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Message } from '../../proto/voice/index.ts';
import {
  type OddEvent,
  openUpstream,
  type Upstream,
  type UpstreamConfig,
  type UpstreamEnd,
} from '../../server/realtime/index.ts';
import { testCertificate, until } from './realtime.ts';

/** A key that no message may quote. */
export const API_KEY = 'sk-secret-0123456789';

/** The certificate that every peer of a test file presents. */
export const pem = testCertificate(['realtime.test']);

/** A WebSocket server in the place of the Realtime API. */
export interface Peer {
  readonly url: string;
  readonly port: number;
  readonly sockets: WebSocket[];
  readonly requests: IncomingMessage[];
}

export interface PeerOptions {
  readonly autoPong?: boolean;
  /** Refuses every handshake with this. */
  readonly refusal?: { readonly status: number; readonly headers?: string[]; readonly body?: string };
  /** Octets that answer the handshake, as they are; the connection stays open. */
  readonly raw?: string;
}

export interface DialledUpstream {
  readonly upstream: Upstream;
  readonly ends: UpstreamEnd[];
  readonly odd: OddEvent[];
}

/** Peers and upstreams of one test; `close` ends them all. */
export class UpstreamPeers {
  readonly #cleanups: (() => void)[] = [];

  readonly close = (): void => {
    for (const cleanup of this.#cleanups.splice(0).reverse()) cleanup();
  };

  /** Adds what `close` must do. */
  readonly onClose = (cleanup: () => void): void => {
    this.#cleanups.push(cleanup);
  };

  /** A WebSocket server that does what the test says. */
  readonly peer = async (options: PeerOptions = {}): Promise<Peer> => {
    const server: Server = createServer({ cert: pem.certificate, key: pem.key });
    const sockets: WebSocket[] = [];
    const requests: IncomingMessage[] = [];
    const webSockets = new WebSocketServer({ noServer: true, autoPong: options.autoPong ?? true });
    server.on('upgrade', (request, socket, head) => {
      requests.push(request);
      socket.on('error', () => {});
      const { refusal, raw } = options;
      if (raw !== undefined) socket.write(raw);
      else if (refusal !== undefined) {
        const { status, headers = [], body = '' } = refusal;
        const lines = [`HTTP/1.1 ${status} No`, 'Connection: close', ...headers];
        socket.end(`${lines.join('\r\n')}\r\n\r\n${body}`);
      } else {
        webSockets.handleUpgrade(request, socket, head, (webSocket) => {
          webSocket.on('error', () => {});
          sockets.push(webSocket);
        });
      }
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    this.#cleanups.push(() => {
      for (const socket of sockets) socket.terminate();
      server.closeAllConnections();
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    return { url: `https://localhost:${port}`, port, sockets, requests };
  };

  readonly dial = (to: Pick<Peer, 'url'>, config: Partial<UpstreamConfig> = {}): DialledUpstream => {
    const odd: OddEvent[] = [];
    const upstream = openUpstream({
      kind: 'openai',
      model: 'gpt-realtime',
      apiKey: API_KEY,
      baseURL: `${to.url}/v1`,
      ca: pem.certificate,
      onOddEvent: (event) => odd.push(event),
      ...config,
    });
    this.#cleanups.push(() => upstream.close());
    const ends: UpstreamEnd[] = [];
    upstream.onClose((end) => ends.push(end));
    return { upstream, ends, odd };
  };

  readonly opened = async (to: Peer, config: Partial<UpstreamConfig> = {}): Promise<DialledUpstream> => {
    const made = this.dial(to, config);
    await until(() => made.upstream.isOpen && to.sockets.length > 0, 'open');
    return made;
  };

  /** The end of a dial that must fail. */
  readonly failed = async (made: DialledUpstream): Promise<UpstreamEnd> => {
    await until(() => made.ends.length === 1, 'the end');
    return made.ends[0]!;
  };

  /** Everything that an upstream gives from now on. */
  readonly events = ({ upstream }: DialledUpstream): Message[] => {
    const seen: Message[] = [];
    upstream.onEvent((event) => seen.push(event));
    return seen;
  };
}
