import type { ReadableStream, WritableStreamDefaultWriter } from 'node:stream/web';
import {
  AnswerHeaderDecoder,
  type Attached,
  encodeHeader,
  encodeMessage,
  isNumbered,
  type Message,
  MessageDecoder,
  PageCall,
  SAMPLE_RATE,
  VOICE_CODEC,
} from '../../proto/voice/index.ts';
import type { CloseInfo, WebTransportSession } from '../../server/webtransport/types.ts';
import { type MemorySession, memorySessionPair } from './memory-session.ts';
import { until } from './realtime.ts';
import { HELLO } from './voice-page.ts';

const turn = () => new Promise((resolve) => setTimeout(resolve, 1));

/** A page whose call outlives its sessions, without sound: `PageCall` with streams around it. */
export class ResumingPage {
  readonly call = new PageCall();
  /** Messages of the server that count, each once. */
  readonly messages: Message[] = [];
  /** Every other one. */
  readonly signals: Message[] = [];
  /** Audio of the answers, by item. */
  readonly heard = new Map<string, Uint8Array[]>();
  readonly ended = new Set<string>();
  readonly closes: CloseInfo[] = [];
  ready: Attached | undefined;
  #session: MemorySession | undefined;
  #writer: WritableStreamDefaultWriter<Uint8Array> | undefined;
  /** Changes with each session and each rewind: what runs for an older one stops. */
  #epoch = 0;
  #sessionRewind: number | undefined;

  constructor() {
    this.call.microphone.begin(0, 0);
  }

  get session(): MemorySession | undefined {
    return this.#session;
  }

  /** A new session, given to `serve`; fulfils when it is ready, or closed. */
  async dial(serve: (session: WebTransportSession) => unknown, change: object = {}): Promise<boolean> {
    const { client, server } = memorySessionPair();
    this.#session = client;
    this.ready = undefined;
    this.#epoch += 1;
    this.#sessionRewind = undefined;
    const state = { over: false };
    client.closed.then(
      (info) => {
        state.over = true;
        this.closes.push(info);
      },
      () => {
        state.over = true;
      },
    );
    serve(server);
    const { readable, writable } = await client.createBidirectionalStream();
    const writer = writable.getWriter();
    this.#writer = writer;
    writer.closed.catch(() => {});
    void this.#readControl(client, readable);
    void this.#acceptAnswers(client);
    const resume = this.call.resume();
    this.#write({ ...HELLO, ...(resume && { resume: { ...resume, ...change } }) });
    await until(() => this.ready !== undefined || state.over || this.#session !== client, 'ready');
    return this.ready !== undefined;
  }

  /** The connection is lost. */
  cut(): void {
    const session = this.#session;
    this.#session = undefined;
    this.#epoch += 1;
    session?.lose();
  }

  /** The caller speaks. */
  say(octets: Uint8Array): void {
    this.call.microphone.push(octets);
  }

  /** The page sends an event. */
  send(message: Message): void {
    this.call.send(message, 100);
    if (this.ready !== undefined) this.#write(message);
  }

  report(): void {
    const report = this.ready && this.call.report();
    if (report !== undefined) this.#write({ type: 'parley.received', ...report });
  }

  #write(message: { readonly type: string }): void {
    this.#writer?.write(encodeMessage(message)).catch(() => {});
  }

  async #readControl(session: MemorySession, readable: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new MessageDecoder();
    try {
      for await (const chunk of readable) {
        if (this.#session !== session) return;
        decoder.push(chunk);
        for (let next = decoder.next(); next !== undefined; next = decoder.next()) this.#take(next);
        this.report();
      }
    } catch {
      // The session is over.
    }
  }

  #take(message: Message): void {
    this.call.received(message);
    if (isNumbered(message)) this.messages.push(message);
    else this.signals.push(message);
    if (message.type === 'parley.ready') {
      const attached = message.call as Attached;
      const from = this.call.attached(attached);
      this.ready = attached;
      for (const event of from.events) this.#write(event);
      void this.#speak(from.microphoneSamples);
    } else if (message.type === 'parley.received') {
      this.call.acknowledged(message as unknown as { microphoneSamples: number; events: number });
    } else if (message.type === 'parley.checkpoint') {
      this.call.checkpoint(message as unknown as Parameters<PageCall['checkpoint']>[0]);
    } else if (message.type === 'parley.rewind') {
      const rewind = message as unknown as Parameters<PageCall['rewound']>[0];
      const from = this.call.rewound(rewind);
      this.#sessionRewind = rewind.rewind;
      this.#epoch += 1;
      this.#write({ type: 'parley.rewound', rewind: rewind.rewind } as Message);
      for (const event of from.events) this.#write(event);
      void this.#speak(from.microphoneSamples);
    }
  }

  /** Writes what was said from this sample on, and what comes, until something changes. */
  async #speak(from: number): Promise<void> {
    const epoch = this.#epoch;
    const session = this.#session!;
    const { microphone } = this.call;
    let at = from;
    try {
      for (let stretch = 0; epoch === this.#epoch; stretch++) {
        const [next] = microphone.stretchesFrom(at);
        if (next === undefined) return;
        at = Math.max(at, next.firstSample);
        const writer = (await session.createUnidirectionalStream()).getWriter();
        writer.closed.catch(() => {});
        await writer.write(
          encodeHeader({
            type: 'parley.microphone',
            stretch,
            firstSample: at,
            ...(this.#sessionRewind !== undefined && { rewind: this.#sessionRewind }),
            codec: VOICE_CODEC,
            rate: SAMPLE_RATE,
            startMs: 0,
          }),
        );
        while (epoch === this.#epoch) {
          const { octets, ended } = microphone.read(next.number, at, 1777);
          if (ended) break;
          const whole = octets.subarray(0, octets.length & ~1);
          if (whole.length === 0) await turn();
          else await writer.write(whole);
          at += whole.length / 2;
        }
        if (epoch === this.#epoch) await writer.close();
        else await writer.abort();
      }
    } catch {
      // The session is over.
    }
  }

  async #acceptAnswers(session: MemorySession): Promise<void> {
    try {
      for await (const stream of session.incomingUnidirectionalStreams)
        void this.#readAnswer(session, stream);
    } catch {
      // The session is over.
    }
  }

  async #readAnswer(session: MemorySession, stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new AnswerHeaderDecoder();
    let itemId: string | undefined;
    try {
      for await (const chunk of stream) {
        if (this.#session !== session) return;
        const audio = decoder.push(chunk);
        const { header } = decoder;
        if (header === undefined) continue;
        if (itemId === undefined) {
          itemId = header.itemId;
          const known = this.call.answerBegins(header.answer);
          if (known === undefined) return;
          if (known !== header.firstSample)
            throw new Error(`answer goes on at ${header.firstSample}, not ${known}`);
        }
        const heard = this.heard.get(itemId) ?? [];
        heard.push(audio);
        this.heard.set(itemId, heard);
        this.call.answerReceived(header.answer, audio.length / 2);
      }
      if (this.#session !== session || decoder.header === undefined) return;
      this.call.answerEnded(decoder.header.answer);
      this.ended.add(decoder.header.itemId);
      this.report();
    } catch (error) {
      if (error instanceof Error && error.message.startsWith('answer goes on')) throw error;
    }
  }
}
