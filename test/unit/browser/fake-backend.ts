import { vi } from 'vitest';
import {
  type Attached,
  encodeHeader,
  encodeMessage,
  type Message,
  MessageDecoder,
  type MicrophoneHeader,
  MicrophoneHeaderDecoder,
  type Resume,
  SAMPLE_RATE,
  type StreamCode,
  VOICE_CODEC,
  VOICE_PROTOCOL,
} from '../../../proto/voice/index.ts';
import { concat } from '../../../proto/wire/index.ts';
import { type MemorySession, memorySessionPair } from '../../support/memory-session.ts';

/** One microphone stream as the backend got it. */
export interface MicrophoneStream {
  header: MicrophoneHeader | undefined;
  audio: Uint8Array;
  ended: boolean;
}

/** What a dial meets. */
export interface FakeNetwork {
  readonly backends: FakeBackend[];
  readonly urls: string[];
  /** What happens to the next dials: a backend is there, the dial fails, or gives no answer. */
  mode: 'open' | 'refused' | 'silent';
}

/** A part of an answer, as its stream carries it. */
export interface AnswerPart {
  readonly answer: number;
  readonly firstSample?: number;
  readonly pcm: Uint8Array;
  readonly responseId?: string;
  readonly itemId?: string;
}

/** The backend's side of a session in memory, bare: it says and answers what the test says. */
export class FakeBackend {
  readonly messages: Message[] = [];
  /** Why streams of answers were cancelled, by item. */
  readonly cancelled: string[] = [];
  readonly streams: MicrophoneStream[] = [];
  readonly session: MemorySession;
  closeInfo: { closeCode: number; reason: string } | undefined;
  #answers = 0;
  #writer: WritableStreamDefaultWriter<Uint8Array> | undefined;

  constructor(session: MemorySession) {
    this.session = session;
    session.closed.then(
      (info) => {
        this.closeInfo = info;
      },
      () => {},
    );
    void this.#readControl();
    void this.#acceptMicrophone();
  }

  /** Replaces the browser's WebTransport: every dial makes a backend. */
  static install(): FakeBackend[] {
    return FakeBackend.network().backends;
  }

  /** The same, with a network that can be taken away. */
  static network(): FakeNetwork {
    const network: FakeNetwork = { backends: [], urls: [], mode: 'open' };
    vi.stubGlobal('WebTransport', function WebTransport(url: string) {
      network.urls.push(url);
      const { client, server } = memorySessionPair();
      const { mode } = network;
      if (mode === 'open') network.backends.push(new FakeBackend(server));
      const refused = mode === 'refused' ? Promise.reject(new Error('no way')) : undefined;
      refused?.catch(() => {});
      const ready = mode === 'open' ? Promise.resolve() : (refused ?? new Promise(() => {}));
      return Object.assign(client, { ready });
    });
    return network;
  }

  get microphoneSamples(): number {
    return this.audio.length / 2;
  }

  /** All microphone audio, in the order it came. */
  get audio(): Uint8Array {
    return concat(this.streams.map(({ audio }) => audio));
  }

  /** What the hello said of the call to go on with. */
  get resume(): Resume | undefined {
    return this.messages[0]?.resume as Resume | undefined;
  }

  send(message: object): void {
    void this.#writer?.write(encodeMessage(message as Message)).catch(() => {});
  }

  ready(call: Partial<Attached> = {}): void {
    this.send({
      type: 'parley.ready',
      protocol: VOICE_PROTOCOL,
      sessionId: 'session-1',
      serverId: '01',
      backend: 'backend-1',
      upstream: 'local',
      codec: VOICE_CODEC,
      rate: SAMPLE_RATE,
      handshakeMs: 1,
      call: {
        callId: 'call-1',
        how: 'new',
        ticket: 'ticket-1',
        resumeSeconds: 0,
        microphoneSamples: 0,
        events: 0,
        coveredEvents: [],
        messages: 0,
        ...call,
      },
    });
  }

  /** Acknowledges samples of the microphone, and numbered events. */
  received(samples: number, events = 0): void {
    this.send({ type: 'parley.received', microphoneSamples: samples, events });
  }

  clear(...responseIds: string[]): void {
    this.send({ type: 'parley.playback.clear', responseIds });
  }

  of(type: string): Message[] {
    return this.messages.filter((message) => message.type === type);
  }

  /** Begins an answer with so many samples; it ends at once unless `open`. */
  async answer(responseId: string, itemId: string, samples: number, open = false): Promise<void> {
    const pcm = new Uint8Array(new Int16Array(samples).fill(8000).buffer);
    const end = await this.answerPart({ answer: this.#answers++, pcm, responseId, itemId });
    if (!open) end();
  }

  /** A stream with a part of an answer; gives the way to end it, with `code` by a reset. */
  async answerPart(part: AnswerPart): Promise<(code?: StreamCode) => void> {
    const { answer, firstSample = 0, pcm, responseId = 'resp_1', itemId = 'item_1' } = part;
    const writer = (await this.session.createUnidirectionalStream()).getWriter();
    writer.closed.catch(() => this.cancelled.push(itemId));
    const header = { responseId, itemId, contentIndex: 0, outputIndex: 0, answer, firstSample };
    await writer.write(
      encodeHeader({ type: 'parley.answer', ...header, codec: VOICE_CODEC, rate: SAMPLE_RATE }),
    );
    await writer.write(pcm).catch(() => {});
    return (code) => {
      const error = Object.assign(new Error('reset'), { source: 'stream', streamErrorCode: code });
      void (code === undefined ? writer.close() : writer.abort(error)).catch(() => {});
    };
  }

  async #readControl(): Promise<void> {
    const { value: stream } = await this.session.incomingBidirectionalStreams.getReader().read();
    if (stream === undefined) return;
    this.#writer = stream.writable.getWriter() as WritableStreamDefaultWriter<Uint8Array>;
    this.#writer.closed.catch(() => {});
    const decoder = new MessageDecoder();
    try {
      for await (const chunk of stream.readable) {
        decoder.push(chunk);
        for (let next = decoder.next(); next !== undefined; next = decoder.next()) this.messages.push(next);
      }
    } catch {
      // The session is over.
    }
  }

  async #acceptMicrophone(): Promise<void> {
    try {
      for await (const stream of this.session.incomingUnidirectionalStreams)
        void this.#readMicrophone(stream as never);
    } catch {
      // The session is over.
    }
  }

  async #readMicrophone(stream: AsyncIterable<Uint8Array>): Promise<void> {
    const decoder = new MicrophoneHeaderDecoder();
    const entry: MicrophoneStream = { header: undefined, audio: new Uint8Array(0), ended: false };
    this.streams.push(entry);
    try {
      for await (const chunk of stream) {
        const audio = decoder.push(chunk);
        entry.header = decoder.header;
        entry.audio = concat([entry.audio, audio]);
      }
      entry.ended = true;
    } catch {
      // Reset, or the session is over.
    }
  }
}
