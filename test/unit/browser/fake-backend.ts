import { vi } from 'vitest';
import {
  encodeHeader,
  encodeMessage,
  type Message,
  MessageDecoder,
  MicrophoneHeaderDecoder,
  SAMPLE_RATE,
  VOICE_CODEC,
  VOICE_PROTOCOL,
} from '../../../proto/voice/index.ts';
import { type MemorySession, memorySessionPair } from '../../support/memory-session.ts';

/** The backend's side of a call in memory, bare: it says and answers what the test says. */
export class FakeBackend {
  readonly messages: Message[] = [];
  /** Why streams of answers were cancelled, by item. */
  readonly cancelled: string[] = [];
  microphoneSamples = 0;
  readonly session: MemorySession;
  #answers = 0;
  #writer: WritableStreamDefaultWriter<Uint8Array> | undefined;

  constructor(session: MemorySession) {
    this.session = session;
    void this.#readControl();
    void this.#readMicrophone();
  }

  /** Replaces the browser's WebTransport: every dial makes a backend. */
  static install(): FakeBackend[] {
    const backends: FakeBackend[] = [];
    vi.stubGlobal('WebTransport', function WebTransport() {
      const { client, server } = memorySessionPair();
      backends.push(new FakeBackend(server));
      return Object.assign(client, { ready: Promise.resolve() });
    });
    return backends;
  }

  send(message: object): void {
    void this.#writer?.write(encodeMessage(message as Message)).catch(() => {});
  }

  ready(): void {
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
      },
    });
  }

  /** Acknowledges samples of the microphone. */
  received(samples: number): void {
    this.send({ type: 'parley.received', microphoneSamples: samples, events: 0 });
  }

  clear(...responseIds: string[]): void {
    this.send({ type: 'parley.playback.clear', responseIds });
  }

  of(type: string): Message[] {
    return this.messages.filter((message) => message.type === type);
  }

  /** Begins an answer with so many samples; it ends at once unless `open`. */
  async answer(responseId: string, itemId: string, samples: number, open = false): Promise<void> {
    const writer = (await this.session.createUnidirectionalStream()).getWriter();
    writer.closed.catch(() => this.cancelled.push(itemId));
    const header = {
      responseId,
      itemId,
      contentIndex: 0,
      outputIndex: 0,
      answer: this.#answers++,
      firstSample: 0,
    };
    await writer.write(
      encodeHeader({ type: 'parley.answer', ...header, codec: VOICE_CODEC, rate: SAMPLE_RATE }),
    );
    const pcm = new Int16Array(samples).fill(8000);
    await writer.write(new Uint8Array(pcm.buffer)).catch(() => {});
    if (!open) void writer.close().catch(() => {});
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
      // The call is over.
    }
  }

  async #readMicrophone(): Promise<void> {
    try {
      for await (const stream of this.session.incomingUnidirectionalStreams) {
        const decoder = new MicrophoneHeaderDecoder();
        for await (const chunk of stream) this.microphoneSamples += decoder.push(chunk).length / 2;
      }
    } catch {
      // The call is over.
    }
  }
}
