import type { ReadableStream, WritableStream, WritableStreamDefaultWriter } from 'node:stream/web';
import type { RealtimeClientEvent } from 'openai/resources/realtime/realtime';
import {
  type AnswerHeader,
  AnswerHeaderDecoder,
  encodeHeader,
  encodeMessage,
  isNumbered,
  MAX_OPEN_ANSWERS,
  type Message,
  MessageDecoder,
  SAMPLE_RATE,
  VOICE_CODEC,
  VOICE_PROTOCOL,
} from '../../proto/voice/index.ts';
import { concat } from '../../proto/wire/index.ts';
import type { Upstream, UpstreamEnd } from '../../server/realtime/index.ts';
import type { CloseInfo, WebTransportSession } from '../../server/webtransport/types.ts';

/** An upstream that the test plays. */
export class FakeUpstream implements Upstream {
  readonly kind = 'local';
  readonly sent: RealtimeClientEvent[] = [];
  /** What was sent, as it was. */
  readonly texts: string[] = [];
  isOpen = false;
  bufferedAmount = 0;
  paused = false;
  closed = false;
  #open: (() => void) | undefined;
  #event: ((event: Message) => void) | undefined;
  #close: ((end: UpstreamEnd) => void) | undefined;
  #ended: UpstreamEnd | undefined;

  onOpen(listener: () => void): void {
    if (this.isOpen) listener();
    else this.#open = listener;
  }

  onEvent(listener: (event: Message) => void): void {
    this.#event = listener;
  }

  onClose(listener: (end: UpstreamEnd) => void): void {
    if (this.#ended !== undefined && !this.closed) listener(this.#ended);
    else this.#close = listener;
  }

  send(event: RealtimeClientEvent): void {
    this.sent.push(event);
  }

  sendText(json: string): void {
    this.texts.push(json);
    this.sent.push(JSON.parse(json) as RealtimeClientEvent);
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  close(): void {
    this.closed = true;
    this.isOpen = false;
  }

  open(): this {
    this.isOpen = true;
    this.#open?.();
    return this;
  }

  emit(event: Message): void {
    this.#event?.(event);
  }

  end(end: UpstreamEnd): void {
    this.isOpen = false;
    this.#ended = end;
    this.#close?.(end);
  }

  /** The microphone's audio, as it arrived. */
  get audio(): Uint8Array {
    const appends = this.sent.filter((event) => event.type === 'input_audio_buffer.append');
    return concat(appends.map((event) => Buffer.from(event.audio, 'base64')));
  }

  /** Everything else. */
  get events(): RealtimeClientEvent[] {
    return this.sent.filter((event) => event.type !== 'input_audio_buffer.append');
  }

  /** One delta of answer audio. */
  delta(itemId: string, pcm: Uint8Array, responseId = 'resp_1'): void {
    this.emit({
      type: 'response.output_audio.delta',
      response_id: responseId,
      item_id: itemId,
      output_index: 0,
      content_index: 0,
      delta: Buffer.from(pcm).toString('base64'),
    });
  }

  done(itemId: string, responseId = 'resp_1'): void {
    this.emit({
      type: 'response.output_audio.done',
      response_id: responseId,
      item_id: itemId,
      output_index: 0,
      content_index: 0,
    });
  }
}

/** An answer stream as the page sees it. */
export interface ReceivedAnswer {
  header: AnswerHeader | undefined;
  readonly chunks: Uint8Array[];
  ended: boolean;
  /** The code it was reset with. */
  resetCode: number | undefined;
}

/** The voice protocol's client side, bare: what a page does, without sound. */
export class VoicePage {
  readonly session: WebTransportSession;
  readonly messages: Message[] = [];
  readonly answers: ReceivedAnswer[] = [];
  controlEnded = false;
  /** While true, answer streams are not read. */
  deaf = false;
  /** While true, nothing that came is acknowledged of its own accord. */
  silent = false;
  /** While true, the control stream is not read. */
  inattentive = false;
  closeInfo: CloseInfo | undefined;
  #writer!: WritableStreamDefaultWriter<Uint8Array>;
  #hungUp = false;
  #reporting: NodeJS.Timeout | undefined;

  constructor(session: WebTransportSession) {
    this.session = session;
    session.closed.then(
      (info) => {
        this.closeInfo = info;
      },
      () => {},
    );
  }

  /** Opens the control stream and greets; with null it says nothing yet. */
  async start(hello: { readonly type: string } | null = HELLO): Promise<this> {
    const { readable, writable } = await this.session.createBidirectionalStream();
    this.#writer = writable.getWriter();
    this.#writer.closed.catch(() => {});
    void this.#readControl(readable);
    void this.#acceptAnswers();
    if (hello !== null) await this.send(hello);
    return this;
  }

  send(message: { readonly type: string }): Promise<void> {
    return this.sendRaw(encodeMessage(message));
  }

  async sendRaw(octets: Uint8Array): Promise<void> {
    try {
      await this.#writer.write(octets);
    } catch {
      // The stream is closed, or the session over.
    }
  }

  endControl(): Promise<void> {
    this.#hungUp = true;
    return this.#writer.close().catch(() => {});
  }

  find(type: string): Message | undefined {
    return this.messages.find((message) => message.type === type);
  }

  types(): string[] {
    return this.messages.map((message) => message.type);
  }

  /** Opens a microphone stream with its header. */
  async microphone(
    stretch: number,
    firstSample: number,
    orderedEvents?: number,
  ): Promise<WritableStream<Uint8Array>> {
    const stream = await this.session.createUnidirectionalStream();
    const writer = stream.getWriter();
    await writer.write(
      encodeHeader({
        type: 'parley.microphone',
        stretch,
        firstSample,
        codec: VOICE_CODEC,
        rate: SAMPLE_RATE,
        startMs: 0,
        ...(orderedEvents !== undefined && { orderedEvents }),
      }),
    );
    writer.releaseLock();
    return stream;
  }

  /** Speaks a whole stretch, in the given chunks. */
  async speak(
    stretch: number,
    firstSample: number,
    chunks: readonly Uint8Array[],
    orderedEvents?: number,
  ): Promise<void> {
    const writer = (await this.microphone(stretch, firstSample, orderedEvents)).getWriter();
    for (const chunk of chunks) await writer.write(chunk);
    await writer.close();
  }

  /** What the page would report of its playback. */
  position(itemId: string, playedSamples: number, cleared: boolean): Promise<void> {
    const playedMs = (playedSamples * 1000) / SAMPLE_RATE;
    const message = {
      type: 'parley.playback.position',
      itemId,
      contentIndex: 0,
      playedMs,
      playedSamples,
      cleared,
    };
    return this.send(message);
  }

  /** Every position of these responses was reported. */
  cleared(...responseIds: string[]): Promise<void> {
    const message = { type: 'parley.playback.cleared', responseIds };
    return this.send(message);
  }

  async #readControl(readable: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new MessageDecoder();
    try {
      for await (const chunk of readable) {
        while (this.inattentive && this.closeInfo === undefined)
          await new Promise((resolve) => setTimeout(resolve, 5));
        decoder.push(chunk);
        for (let next = decoder.next(); next !== undefined; next = decoder.next()) this.messages.push(next);
        this.#reportSoon();
      }
      this.controlEnded = true;
    } catch {
      // The session is over.
    }
  }

  /** Acknowledges what came, soon after it came. */
  #reportSoon(): void {
    this.#reporting ??= setTimeout(() => {
      this.#reporting = undefined;
      if (
        this.silent ||
        this.#hungUp ||
        this.closeInfo !== undefined ||
        this.find('parley.ready') === undefined
      )
        return;
      const answers = this.answers
        .filter(({ header }) => header !== undefined)
        .slice(-MAX_OPEN_ANSWERS)
        .map(({ header, chunks, ended, resetCode }) => ({
          answer: header!.answer,
          samples: header!.firstSample + chunks.reduce((sum, chunk) => sum + chunk.length / 2, 0),
          ended: ended || resetCode !== undefined,
        }))
        .filter(({ samples }) => Number.isInteger(samples));
      void this.send({
        type: 'parley.received',
        messages: this.messages.filter(isNumbered).length,
        answers,
      } as { type: string });
    }, 10);
  }

  async #acceptAnswers(): Promise<void> {
    try {
      for await (const stream of this.session.incomingUnidirectionalStreams) void this.#readAnswer(stream);
    } catch {
      // The session is over.
    }
  }

  async #readAnswer(stream: ReadableStream<Uint8Array>): Promise<void> {
    const answer: ReceivedAnswer = { header: undefined, chunks: [], ended: false, resetCode: undefined };
    this.answers.push(answer);
    const decoder = new AnswerHeaderDecoder();
    const reader = stream.getReader();
    try {
      for (;;) {
        while (this.deaf && this.closeInfo === undefined)
          await new Promise((resolve) => setTimeout(resolve, 5));
        const { done, value } = await reader.read();
        if (done) break;
        const audio = decoder.push(value);
        answer.header = decoder.header;
        if (audio.length > 0) answer.chunks.push(audio);
        this.#reportSoon();
      }
      answer.ended = true;
      this.#reportSoon();
    } catch (error) {
      answer.resetCode = (error as { streamErrorCode?: number }).streamErrorCode;
    }
  }
}

export const HELLO = { type: 'parley.hello', protocol: VOICE_PROTOCOL, codecs: [VOICE_CODEC] };
