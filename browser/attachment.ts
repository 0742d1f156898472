import {
  type ErrorMessage,
  encodeMessage,
  isVoiceProtocolError,
  type Message,
  type MicrophoneArchive,
  type Resume,
  type SendFrom,
  type ServerMessage,
  SessionCloseCode,
  StreamCode,
  VOICE_PROTOCOL,
} from '../proto/voice/index.ts';
import type { AnswerSource } from './answer-reader.ts';
import type { LineAnswers } from './call-answers.ts';
import { CONTROL_SEND_ORDER, ControlStream } from './control-stream.ts';
import type { CarrierSession } from './dial.ts';
import { CallError, closedByServerError, lostError, toCallError } from './errors.ts';
import { lateParts, loadLateParts } from './late-parts.ts';
import { MicrophoneUplink } from './microphone-uplink.ts';
import { neededParts } from './needed-parts.ts';
import type { OpusModule } from './opus-module.ts';
import { within } from './within.ts';

/** A session that is heard so long after a newer one of the page failed, in ms, was not given up by the backend for that one. */
const RIVAL_MS = 5000;
/** How long the session's close code is waited for after a stream of it broke. */
const CLOSE_CODE_MS = 2000;
/** How long it is waited, after a stream broke without a word why, whether its session is gone with it. */
const RESET_MS = 500;
/** How long it is waited for the sentence of a close code. */
const SENTENCES_MS = 1000;

/** What an attachment needs of the call that it carries. */
export interface AttachmentHost {
  readonly archive: MicrophoneArchive;
  readonly answers: LineAnswers;
  /** The call's account of its answers (`PageCall`). */
  readonly account: {
    answerBegins(answer: number): number | undefined;
    answerReceived(answer: number, samples: number): void;
    answerEnded(answer: number): void;
  };
  /** The codec of the microphone's audio (`UplinkCodec`). */
  readonly codec: {
    readonly offered: string[];
    opus(): OpusModule | undefined;
    opusFailed(): void;
    pcmBound(from: number): number;
  };
  /** The transport took microphone audio. */
  sent(): void;
  /** Something came. */
  heard(): void;
  /** A message of the backend, in order; `own` where it is Parley's. What this throws ends the attachment. */
  message(message: Message, own: ServerMessage | undefined, from: Attachment): void;
  /** It is over, and not by `close`. */
  over(error: CallError, from: Attachment): void;
}

/** One session that carries the call, or asks for it: its control stream, the microphone's streams, the answers' streams. */
export class Attachment {
  readonly #session: CarrierSession;
  readonly #host: AttachmentHost;
  /** Places, among the call's ordered events, of those that this session was given; ascending. */
  readonly #ordered: number[] = [];
  #control: ControlStream | undefined;
  #uplink: MicrophoneUplink | undefined;
  #held: { readonly released: Promise<void>; readonly release: () => void } | undefined;
  #over = false;
  /** What the backend said on the control stream that it closes the session with. */
  #lastWord: readonly [closeCode: SessionCloseCode, reason: string] | undefined;
  #rewind = 0;
  #resends = 0;
  /** It carries the call: the backend said that it is ready. */
  ready = false;
  #rivalled = false;
  #rivalFailedAt: number | undefined;

  constructor(session: CarrierSession, host: AttachmentHost) {
    this.#session = session;
    this.#host = host;
    session.closed.then(
      ({ closeCode, reason }) => this.#closed(closeCode ?? 0, reason ?? ''),
      (error) => this.#end(lostError(error)),
    );
  }

  /** A newer session of the page asked for the call: the backend may have taken it from this one. */
  get rivalled(): boolean {
    return this.#rivalled;
  }

  /** A newer session of the page asks for the call from now on. */
  rival(): void {
    this.#rivalled = true;
    this.#rivalFailedAt = undefined;
  }

  /** That session failed; times by the page's clock. */
  rivalFailed(now: number): void {
    this.#rivalFailedAt = now;
  }

  /** Something came of this session: so long after the newer one failed it shows that the backend did not hear of that. */
  heard(now: number): void {
    if (this.#rivalFailedAt !== undefined && now - this.#rivalFailedAt > RIVAL_MS) this.#rivalled = false;
  }

  get session(): CarrierSession {
    return this.#session;
  }

  /** The microphone's sample behind the last one that this session took; undefined before it takes any. */
  get position(): number | undefined {
    return this.#uplink?.position;
  }

  /** Says hello, and takes what comes. */
  async open(resume: Resume | undefined): Promise<void> {
    try {
      const stream = await this.#session.createBidirectionalStream({ sendOrder: CONTROL_SEND_ORDER });
      if (this.#over) return;
      const control = new ControlStream(stream);
      this.#control = control;
      const hello: Message = {
        type: 'parley.hello',
        protocol: VOICE_PROTOCOL,
        codecs: this.#host.codec.offered,
        ...this.#host.answers.hello,
      };
      const message: Message = resume === undefined ? hello : { ...hello, resume };
      control.write(encodeMessage(message));
      this.#read(control).catch((error) => this.#fail(error));
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Sends what is kept of the call from there on, events first. `ordered` are their places among the ordered events. */
  sendFrom(
    { microphoneSamples, events }: Omit<SendFrom, 'goneItems'>,
    ordered: readonly number[],
    rewind: number,
  ): void {
    this.#uplink?.abort();
    this.#ordered.splice(0, this.#ordered.length, ...ordered);
    const rewound: Message = { type: 'parley.rewound', rewind };
    if (rewind > 0) this.send(encodeMessage(rewound));
    for (const event of events) this.send(encodeMessage(event));
    this.speakFrom(microphoneSamples, rewind);
  }

  /** Sends the microphone's audio from this sample on. */
  speakFrom(from: number, rewind = 0): void {
    const { archive, codec } = this.#host;
    this.#rewind = rewind;
    const uplink = new MicrophoneUplink({
      archive,
      from,
      rewind,
      ...(this.#resends > 0 && { resend: { number: this.#resends, from } }),
      opus: () => codec.opus(),
      opusFailed: () => codec.opusFailed(),
      ...(codec.offered.length > 1 && { pcmBound: () => codec.pcmBound(from) }),
      orderedEvents: (count) => this.#ordered.filter((place) => place < count).length,
      sent: () => this.#host.sent(),
      openStream: () => this.#session.createUnidirectionalStream({ sendOrder: 0 }),
    });
    this.#uplink = uplink;
    uplink.run().catch((error) => this.#fail(error));
  }

  /** Gives the streams under way up, and sends from this sample on again, which the backend has acknowledged. */
  speakAgainFrom(from: number, finishing: boolean): void {
    if (this.#uplink === undefined || this.#over) return;
    this.#uplink.abort();
    this.#resends += 1;
    this.speakFrom(from, this.#rewind);
    if (finishing) this.finish();
  }

  /** There is more microphone audio. */
  wake(): void {
    this.#uplink?.wake();
  }

  /** No more microphone audio will come. */
  finish(): void {
    this.#uplink?.finish();
  }

  /** Sends a message. `place` is that of an event with a place in the audio. Throws `CallError` when too much waits. */
  send(encoded: Uint8Array, place?: number): void {
    if (place !== undefined) this.#ordered.push(place);
    this.#control?.write(encoded);
  }

  /** Fulfils when every message was taken by the transport. */
  async flushed(): Promise<void> {
    await this.#control?.flushed();
  }

  /** Takes nothing of what comes until `release`: another session is asked to carry the call from here on. */
  hold(): void {
    if (this.#held !== undefined) return;
    let release = () => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    this.#held = { released, release };
  }

  /** It carries the call after all. */
  release(): void {
    this.#held?.release();
    this.#held = undefined;
  }

  /** Ends it; its host is not told. */
  close(closeCode: number, reason: string): void {
    if (this.#stop()) closeQuietly(this.#session, closeCode, reason);
  }

  /** It carries the call no more, and is left to its backend to close. */
  abandon(): void {
    this.#stop();
  }

  #answerSource(opus: AnswerSource['opus']): AnswerSource {
    const { account, heard } = this.#host;
    return {
      heard,
      mayTake: () => this.#mayTake(),
      begins: (answer) => account.answerBegins(answer),
      received: (answer, samples) => account.answerReceived(answer, samples),
      ended: (answer) => account.answerEnded(answer),
      wasReset: (error) => this.#wasReset(error),
      failed: (error) => this.#fail(error),
      opus,
    };
  }

  /** Takes what comes, once there is what understands it: until then it waits in the transport. */
  async #read(control: ControlStream): Promise<void> {
    const parts = await neededParts();
    if (this.#over) return;
    const answers = this.#host.answers.begin(parts);
    const streams = this.#session.incomingUnidirectionalStreams;
    answers.read(streams, this.#answerSource(answers.downlink)).catch((error) => this.#fail(error));
    for await (const message of control.messages(new parts.MessageDecoder())) {
      this.#host.heard();
      if (!(await this.#mayTake())) return;
      const own = parts.parseServerMessage(message);
      if (own?.type === 'parley.error') this.#lastWord ??= lastWordOf(own);
      this.#host.message(message, own, this);
    }
    if (!this.#over) this.#fail(new Error('the control stream ended'));
  }

  async #mayTake(): Promise<boolean> {
    while (this.#held !== undefined && !this.#over) await this.#held.released;
    return !this.#over;
  }

  async #wasReset(error: unknown): Promise<boolean> {
    const { source, streamErrorCode } = (error ?? {}) as Partial<WebTransportError>;
    // The backend lets go of this session, and goes on with the answer in the next.
    if (streamErrorCode === StreamCode.SESSION_CLOSED) return false;
    if (!(await this.#mayTake())) return false;
    if (source !== undefined) return source === 'stream' && !this.#over;
    const { closed } = this.#session;
    const gone = closed.then(
      () => false,
      () => false,
    );
    return within(RESET_MS, gone, () => new Error('it goes on')).catch(() => !this.#over);
  }

  /** A stream broke. When the whole session is going, its close code says more than the stream's error: wait for it. */
  #fail(error: unknown): void {
    if (isVoiceProtocolError(error) || error instanceof CallError) {
      this.#end(toCallError(error));
      return;
    }
    const closed = within(CLOSE_CODE_MS, this.#session.closed, () => lostError(error));
    closed.catch((reason) => this.#end(reason instanceof CallError ? reason : lostError(error)));
  }

  /** The backend closed it, perhaps at once: what its code means to a person is loaded by then, or waited for. */
  async #closed(closeCode: number, reason: string): Promise<void> {
    const late = () => new Error('the sentences did not come');
    if (lateParts() === undefined) await within(SENTENCES_MS, loadLateParts(), late).catch(() => undefined);
    this.#end(closedByServerError(closeCode, reason));
  }

  #end(error: CallError): void {
    // The last packets, and the close code in them, may not have come: a process that ends takes them with it.
    if (this.#lastWord !== undefined && error.code === 'connection_lost') {
      void this.#closed(...this.#lastWord);
      return;
    }
    if (!this.#stop()) return;
    const malformed = error.code === 'protocol';
    // NORMAL would hang up: the call may go on in another session.
    const closeCode = malformed ? (error.closeCode ?? SessionCloseCode.MALFORMED) : SessionCloseCode.INTERNAL;
    closeQuietly(this.#session, closeCode, malformed ? error.message.slice(0, 300) : 'this session is over');
    this.#host.over(error, this);
  }

  #stop(): boolean {
    if (this.#over) return false;
    this.#over = true;
    this.release();
    this.#uplink?.stop();
    return true;
  }
}

/** What a session is closed with that ends with this message: what ends one has a close code of the same name. */
function lastWordOf({ code, message, last }: ErrorMessage): [SessionCloseCode, string] | undefined {
  const closeCode = SessionCloseCode[code.toUpperCase() as keyof typeof SessionCloseCode];
  return last === true && closeCode !== undefined ? [closeCode, message] : undefined;
}

function closeQuietly(session: CarrierSession, closeCode: number, reason: string): void {
  try {
    session.close({ closeCode, reason });
  } catch {
    // Already closed from the other side: there is nothing left to end.
  }
}
