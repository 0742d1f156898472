import { randomBytes } from 'node:crypto';
import { VOICE_CODEC } from '../../proto/voice/index.ts';
import { dialOverTcp, type TcpClientSession } from '../support/tcp-client.ts';
import { answerForCallers, FRAME_MS, FRAME_OCTETS, FrameTimes } from './callers.ts';
import { encodeHello, encodeMicrophoneHeader, REPORT_MS, Received } from './voice-caller.ts';

/** Many callers in one process, each over a TCP connection of its own: WebTransport over HTTP/2, by the library's client. */

/** Calls that are opened at the same time. */
const OPENING = 16;
const frame = new Uint8Array(randomBytes(FRAME_OCTETS));

type Writer = WritableStreamDefaultWriter<Uint8Array>;

class TcpCaller {
  readonly #session: TcpClientSession;
  readonly #received = new Received();
  #microphone: Writer | undefined;
  #timer: NodeJS.Timeout | undefined;
  #reporting: NodeJS.Timeout | undefined;
  readonly times = new FrameTimes();
  #hushing = false;
  closed = false;

  private constructor(session: TcpClientSession) {
    this.#session = session;
    const over = () => this.#end();
    session.closed.then(over, over);
  }

  /** A call that the backend says is ready. */
  static async dial(url: string, certificateHash: string): Promise<TcpCaller> {
    const caller = new TcpCaller(await dialOverTcp(url, certificateHash));
    await caller.#begin();
    return caller;
  }

  #end(): void {
    this.closed = true;
    clearInterval(this.#timer);
    clearInterval(this.#reporting);
  }

  async #begin(): Promise<void> {
    const { readable, writable } = await this.#session.createBidirectionalStream();
    const control = writable.getWriter();
    const failed = () => this.#end();
    const microphone = await this.#session.createUnidirectionalStream();
    this.#microphone = microphone.getWriter();
    this.#hear().catch(failed);
    await new Promise<void>((resolve, reject) => {
      const take = (data: Uint8Array) => {
        if (this.#received.takeControl(data)) resolve();
      };
      readAll(readable, take).then(() => reject(new Error('the backend ended the call')), reject);
      control.write(encodeHello(VOICE_CODEC)).catch(reject);
    });
    this.#microphone.write(encodeMicrophoneHeader(VOICE_CODEC)).catch(failed);
    this.#reporting = setInterval(() => {
      const message = this.#received.acknowledge();
      if (message !== undefined) control.write(message).catch(failed);
    }, REPORT_MS);
  }

  async #hear(): Promise<void> {
    const take = (data: Uint8Array) => this.times.hear(this.#received.takeAnswer(data));
    const streams = this.#session.incomingUnidirectionalStreams.getReader();
    for (let next = await streams.read(); !next.done; next = await streams.read())
      await readAll(next.value, take);
  }

  speak(): void {
    this.#hushing = false;
    this.#timer = setInterval(() => {
      // Behind an even frame, so that the backend holds nothing back to be sent on with the next.
      if (this.#hushing && this.times.sent % 2 === 0) return clearInterval(this.#timer);
      this.times.say();
      this.#microphone!.write(frame).catch(() => this.#end());
    }, FRAME_MS);
  }

  hush(): void {
    this.#hushing = true;
  }
}

async function readAll(stream: ReadableStream<Uint8Array>, take: (data: Uint8Array) => void): Promise<void> {
  const reader = stream.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) take(next.value);
}

// The library writes to it that its HTTP/3 transport, which is not used, is not installed.
Object.assign(globalThis.console, { error() {}, log() {} });

answerForCallers(async ({ count, url, certificateHash }) => {
  const callers: TcpCaller[] = [];
  const dial = () => TcpCaller.dial(String(url), String(certificateHash));
  for (let left = Number(count); left > 0; left -= OPENING)
    callers.push(...(await Promise.all(Array.from({ length: Math.min(left, OPENING) }, dial))));
  return callers;
});
