import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Message } from '../../proto/voice/index.ts';
import { TIME_LIMIT_TEXT } from '../../server/realtime/local/faults.ts';
import { LOCATABLE, locate, valuesOf } from '../simulation/calls/samples.ts';
import { type ModelItem, type ModelResponse, ModelUpstream } from '../simulation/calls/upstream.ts';
import { SeededRandom } from '../simulation/random.ts';
import { RealTime } from './real-time.ts';

/** Time that an event takes between backend and upstream, in ms. */
const DELAY_MS = 5;
/** Samples that can be told apart by what is in them. */
const WRAP_SAMPLES = 2 ** 23;

/** What an upstream tells the caller that it turned out to be of. */
export interface UpstreamOwner {
  readonly heardUpTo: number;
  audio(upstream: ModelUpstream, values: Uint16Array, at: number | undefined): void;
  response(upstream: ModelUpstream, response: ModelResponse): void;
  nextAnswer(): { readonly samples: number; readonly tag: number; readonly tool: boolean };
}

/** Whose audio this is, by what is in it; undefined when no caller here said it. */
function tagOf(values: Uint16Array): number | undefined {
  for (const odd of [1, 2]) {
    const tag = (values[odd]! & 0x7fff) >> 6;
    if (locate(values, tag) !== undefined) return tag;
  }
  return undefined;
}

/** One upstream with its socket: whose it is, it learns from the first audio. */
class Connection {
  readonly model: ModelUpstream;
  readonly #socket: WebSocket;
  readonly #ownerOf: (tag: number) => UpstreamOwner | undefined;
  #tag = 0;
  #owner: UpstreamOwner | undefined;
  #first: Buffer = Buffer.alloc(0);

  constructor(
    number: number,
    socket: WebSocket,
    time: RealTime,
    ownerOf: (tag: number) => UpstreamOwner | undefined,
  ) {
    this.#socket = socket;
    this.#ownerOf = ownerOf;
    const self = this;
    const owner = () => this.#owner;
    this.model = new ModelUpstream(time, new SeededRandom(number, 'upstream'), this.#witness(), {
      number,
      get callerTag() {
        return self.#tag;
      },
      delayMs: DELAY_MS,
      detectsTurns: true,
      lateTranscripts: false,
      locate: (values) => {
        const at = locate(values, this.#tag);
        if (at === undefined) return undefined;
        return at + WRAP_SAMPLES * Math.round(((owner()?.heardUpTo ?? 0) - at) / WRAP_SAMPLES);
      },
      nextAnswer: () => owner()?.nextAnswer() ?? { samples: 0, tag: 0, tool: false },
    });
    this.model.onEvent((event) => socket.send(JSON.stringify(event)));
    this.model.onClose(({ closeCode }) => {
      if (closeCode === 1001) socket.close(1001, TIME_LIMIT_TEXT);
      else socket.terminate();
    });
    socket.on('error', () => {});
    socket.on('close', () => this.model.close());
    socket.on('message', (data) => this.#receive(String(data)));
    this.model.open();
  }

  get owner(): UpstreamOwner | undefined {
    return this.#owner;
  }

  get open(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  #witness() {
    return {
      audio: (upstream: ModelUpstream, values: Uint16Array, at: number | undefined) =>
        this.#owner?.audio(upstream, values, at),
      response: (upstream: ModelUpstream, response: ModelResponse) =>
        this.#owner?.response(upstream, response),
      item: (_: ModelUpstream, _item: ModelItem) => {},
      pageEvent: (_: ModelUpstream, _event: Message) => {},
      emitted: (_: ModelUpstream, _event: Message) => {},
      truncated: () => {},
    };
  }

  #receive(json: string): void {
    if (this.#owner === undefined) this.#learn(json);
    this.model.sendText(json);
  }

  #learn(json: string): void {
    const { type, audio } = JSON.parse(json) as { type: string; audio?: string };
    if (type !== 'input_audio_buffer.append') return;
    this.#first = Buffer.concat([this.#first, Buffer.from(audio ?? '', 'base64')]);
    const values = valuesOf(this.#first);
    if (values.length < LOCATABLE) return;
    this.#tag = tagOf(values) ?? 0;
    this.#owner = this.#ownerOf(this.#tag);
  }
}

/** The Realtime API as a model, over TLS and WebSockets, as backends dial it. */
export class Upstreams {
  readonly port: number;
  readonly #server: Server;
  readonly #open = new Set<Connection>();
  #count = 0;
  /** Sessions that sent audio of no caller. */
  foreign = 0;

  private constructor(server: Server, ownerOf: (tag: number) => UpstreamOwner | undefined) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    const time = new RealTime();
    new WebSocketServer({ server, perMessageDeflate: false }).on('connection', (socket) => {
      const connection = new Connection(this.#count++, socket, time, (tag) => {
        const owner = ownerOf(tag);
        if (owner === undefined) this.foreign += 1;
        return owner;
      });
      this.#open.add(connection);
      socket.on('close', () => this.#open.delete(connection));
    });
  }

  static async open(
    certificatePath: string,
    keyPath: string,
    ownerOf: (tag: number) => UpstreamOwner | undefined,
  ): Promise<Upstreams> {
    const server = createServer({ cert: readFileSync(certificatePath), key: readFileSync(keyPath) });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new Upstreams(server, ownerOf);
  }

  /** Sessions so far. */
  get count(): number {
    return this.#count;
  }

  get openNow(): number {
    return this.#open.size;
  }

  /** Ends about this share of the sessions, in turn by their time limit and without a close. Gives their number. */
  end(share: number): number {
    const all = [...this.#open].filter(({ owner }) => owner !== undefined);
    const ended = all.slice(0, Math.ceil(all.length * share));
    ended.forEach(({ model }, i) => {
      if (i % 2 === 0) model.fail('upstream_time_limit', 1001);
      else model.fail('upstream_closed', 1006);
    });
    return ended.length;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
