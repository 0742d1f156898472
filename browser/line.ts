import {
  encodeMessage,
  type Message,
  PageCall,
  type ReadyMessage,
  type ServerMessage,
  SessionCloseCode,
  VoiceProtocolError,
} from '../proto/voice/index.ts';
import { Attachment, type AttachmentHost } from './attachment.ts';
import type { CallOptions } from './call-types.ts';
import { type CarrierSession, dial } from './dial.ts';
import { CallError, endsTheCall, notResumedError, timeoutError, toCallError, tokenError } from './errors.ts';
import { FirstDial } from './first-dial.ts';
import type { LineHost } from './line-host.ts';
import { MicrophoneAudio } from './microphone-audio.ts';
import { REDIAL_TIMEOUT_MS, type RedialStep, type RedialTarget } from './redial.ts';
import { RedialDriver } from './redial-driver.ts';
import { sessionUrl } from './session.ts';
import { SilenceWatch } from './silence-watch.ts';
import { UplinkCodec } from './uplink-codec.ts';
import { within } from './within.ts';

const DEFAULT_TIMEOUT_MS = 10_000;
/** How often it is looked whether there is something to report, and whether the backend is silent, in ms. */
const TICK_MS = 250;

/** Why another session is looked for. */
type Why =
  /** The session that carried the call is gone. */
  | 'lost'
  /** It is silent, and may be gone. */
  | 'silent'
  /** The backend will end, and asks the page to go to another one. */
  | 'move'
  /** A better carrier works again. */
  | 'better';

/** What carries the call: one session after another, each going on where the last one stopped. */
export class Line {
  readonly call = new PageCall();
  readonly microphone: MicrophoneAudio;
  readonly codec: UplinkCodec;
  readonly #options: CallOptions;
  readonly #host: LineHost;
  readonly #firstDial = new FirstDial();
  readonly #redial = new RedialDriver((step) => this.#do(step));
  readonly #silence = new SilenceWatch();
  readonly #dials = new Map<number, AbortController>();
  /** Places, among the ordered events of the call, of the events that have one. */
  readonly #places = new WeakMap<Message, number>();
  #current: Attachment | undefined;
  #candidate: { readonly attachment: Attachment; readonly id: number } | undefined;
  #ready: ReadyMessage | undefined;
  #why: Why | undefined;
  #lostAt = 0;
  /** How the session ended that carried the call, while there is no other. */
  #lostBy: CallError | undefined;
  #finishing = false;
  #over = false;
  #ticker: ReturnType<typeof setInterval> | undefined;

  constructor(options: CallOptions, host: LineHost) {
    this.#options = options;
    this.#host = host;
    this.codec = this.#newCodec();
    this.microphone = new MicrophoneAudio(this.call.microphone, () => {
      this.codec.said(this.call.microphone.samples, performance.now());
      this.#current?.wake();
    });
  }

  #newCodec(): UplinkCodec {
    const { codec = 'auto', codecCalmMs } = this.#options;
    return new UplinkCodec(
      { codec, codecCalmMs },
      {
        resend: () => this.#current?.speakAgainFrom(this.call.receivedSamples, this.#finishing),
        wake: () => this.#current?.wake(),
        tell: (message) => this.send(message),
        changed: (uplink) => this.#host.uplink(uplink),
      },
    );
  }

  /** Whether a session carries the call, as far as is known. */
  get attached(): boolean {
    return this.#current?.ready === true;
  }

  /** The microphone's sample behind the last one that the transport took. */
  get sentSamples(): number {
    return this.#current?.position ?? this.call.receivedSamples;
  }

  /** Dials for the first time, again where that may help. Rejects with a `CallError`. */
  start(signal: AbortSignal): Promise<void> {
    const { url } = this.#options;
    return this.#firstDial.run({ url, timeoutMs: this.#timeoutMs, signal }, (ended, inTime) =>
      this.#begin(ended, inTime),
    );
  }

  /** One attempt to begin the call; `inTime` is called when a session stands. */
  async #begin(signal: AbortSignal, inTime: () => void): Promise<void> {
    const url = await this.#url('original');
    const timeoutMs = this.#timeoutMs;
    const dialledAt = performance.now();
    const session = await this.#dial(url, signal);
    this.codec.dialled(dialledAt, performance.now());
    inTime();
    void this.#redial.load();
    this.#host.opened(session);
    const attachment = new Attachment(session, this.#attachmentHost());
    this.#current = attachment;
    const ready = new Promise<void>((resolve, reject) => {
      this.#firstReady = { resolve, reject };
    });
    ready.catch(() => undefined);
    await attachment.open(undefined);
    // The first words leave beside the hello; they do not wait for its answer.
    if (!this.codec.mustWait) attachment.speakFrom(0);
    await within(timeoutMs, ready, () => timeoutError(url, timeoutMs / 1000, 'sign of life'));
  }

  /** The end of the wait for the first `parley.ready`. */
  #firstReady: { resolve(): void; reject(error: CallError): void } | undefined;

  /**
   * Sends a message, or keeps it until there is a session, when it is one of those that must arrive; what only tells the
   * present state is dropped then. Throws `CallError` when too much is kept.
   */
  send(message: Message): void {
    const encoded = encodeMessage(message);
    if (!this.call.send(message, encoded.length)) {
      throw new CallError(
        'queue_full',
        `The event ${message.type} was not sent: the network took no events for too long.`,
        'Check the network, then call again.',
      );
    }
    let place: number | undefined;
    if (message.type === 'parley.ordered') {
      place = this.microphone.orderedEvents - 1;
      this.#places.set(message, place);
    }
    if (this.attached) this.#current?.send(encoded, place);
  }

  /** The browser says that the network may be back, or the page is seen again. */
  wake(): void {
    this.#firstDial.wake();
    this.#redial.wake();
  }

  /** No more microphone audio will come. */
  finish(): void {
    this.#finishing = true;
    this.#current?.finish();
  }

  /** Fulfils when every message was taken by the transport. */
  async flushed(): Promise<void> {
    await this.#current?.flushed();
  }

  /** The call is over: tells the backend, and dials no more. */
  close(closeCode: number, reason: string): void {
    if (this.#over) return;
    this.#over = true;
    clearInterval(this.#ticker);
    this.#redial.close();
    for (const abort of this.#dials.values()) abort.abort();
    this.#dials.clear();
    // The newest session speaks for the call: a candidate that was given the call hangs up, and the held one with it.
    this.#candidate?.attachment.close(closeCode, reason);
    this.#current?.close(closeCode, reason);
  }

  get #timeoutMs(): number {
    return this.#options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
  }

  #dial(url: string, signal: AbortSignal, timeoutMs = this.#timeoutMs): Promise<CarrierSession> {
    const { certificateHashes, tcpUrl } = this.#options;
    return dial(url, { certificateHashes, tcpUrl, timeoutMs, signal });
  }

  async #url(target: RedialTarget): Promise<string> {
    const { token, url, tcpUrl } = this.#options;
    let fresh: string | undefined;
    try {
      const late = () => new Error(`none came within ${this.#timeoutMs / 1000} seconds`);
      fresh =
        typeof token === 'function' ? await within(this.#timeoutMs, Promise.resolve(token()), late) : token;
    } catch (error) {
      throw tokenError(error);
    }
    const host = target === 'owner' ? this.#ready?.call.host : undefined;
    if (tcpUrl !== undefined) sessionUrl(tcpUrl, { token: undefined, host: undefined, resume: false });
    return sessionUrl(url, { token: fresh, host, resume: this.#ready !== undefined });
  }

  #attachmentHost(id?: number): AttachmentHost {
    return {
      archive: this.call.microphone,
      answers: this.#host.answers,
      account: this.call,
      codec: this.codec,
      sent: () => this.#host.progress(),
      heard: () => this.#heard(id),
      message: (message, own, from) => this.#message(message, own, from),
      over: (error, from) => this.#attachmentOver(error, from),
    };
  }

  #heard(id: number | undefined): void {
    this.#host.heard();
    if (this.#candidate !== undefined && this.#candidate.id !== id) return;
    const now = performance.now();
    this.#silence.heard(now);
    this.codec.heard(now);
    this.#recover();
  }

  /** Goes on with the silent session, if it came to life before another one was asked. */
  #recover(): void {
    if (this.#why !== 'silent' || this.#candidate !== undefined || !this.#silence.isOver(this.#flowing))
      return;
    this.#why = undefined;
    this.#redial.cancel();
    this.#host.recovered();
  }

  #message(message: Message, own: ServerMessage | undefined, from: Attachment): void {
    from.heard(performance.now());
    if (own?.type === 'parley.ready') {
      if (!from.ready) this.#becomeReady(own, from);
      return;
    }
    // A refusal comes before ready, and the close behind it.
    if (!from.ready && own?.type !== 'parley.error')
      throw new VoiceProtocolError(SessionCloseCode.MALFORMED, `${message.type} came before parley.ready`);
    if (!from.ready && this.#ready !== undefined) return;
    if (from.ready) this.call.received(message);
    if (own !== undefined) this.#takeOwn(own, from);
    else if (!message.type.startsWith('parley.')) this.#host.event(message);
  }

  #takeOwn(message: ServerMessage, from: Attachment): void {
    this.#silence.take(message, performance.now());
    switch (message.type) {
      case 'parley.received':
        this.call.acknowledged(message);
        this.codec.acknowledged(message.microphoneSamples, performance.now());
        this.#recover();
        this.#host.progress();
        break;
      case 'parley.checkpoint':
        this.call.checkpoint(message);
        break;
      case 'parley.rewind': {
        const again = this.call.rewound(message);
        from.sendFrom(again, this.#placesOf(again.events), message.rewind);
        this.#afterSendFrom(from);
        break;
      }
      case 'parley.conversation':
        this.#forgetItems(this.call.itemsGone(message));
        break;
      case 'parley.move':
        this.#look('move');
        break;
      default:
        this.codec.take(message);
        this.#host.own(message);
    }
  }

  #becomeReady(message: ReadyMessage, attachment: Attachment): void {
    const first = this.#ready === undefined;
    const from = this.call.attached(message.call);
    attachment.ready = true;
    this.#ready = message;
    const now = performance.now();
    this.#redial.attached(now);
    this.#silence.start(now, this.call.receivedSamples);
    this.#ticker ??= setInterval(() => this.#tick(), TICK_MS);
    const codec = this.codec.ready(message, now);
    this.#host.answers.current?.downlink.ready(message);
    if (first) {
      // Where only Opus will do, the first words wait until it is known whether the backend takes it.
      if (this.codec.mustWait) void codec.then(() => attachment.speakFrom(0));
      for (const event of from.events) attachment.send(encodeMessage(event), this.#places.get(event));
      this.#firstReady?.resolve();
      this.#watchBetter(attachment.session);
      this.#host.ready(message);
      return;
    }
    const old = this.#current;
    this.#current = attachment;
    this.#candidate = undefined;
    this.#why = undefined;
    // The backend closes the one that it took the call from; closing it here, with answers being read, crashed Chromium 156.
    if (message.call.how === 'attached') old?.abandon();
    else old?.close(SessionCloseCode.NORMAL, 'another session carries the call');
    if (message.call.how !== 'attached') this.#host.answers.current?.playback.breakOff();
    this.#forgetItems(from.goneItems);
    attachment.sendFrom(from, this.#placesOf(from.events), 0);
    this.#afterSendFrom(attachment);
    this.#redial.drive();
    const { session } = attachment;
    this.#watchBetter(session);
    this.#host.opened(session);
    this.#host.resumed(message, {
      how: message.call.how === 'attached' ? 'attached' : 'restored',
      carrier: session.carrier,
      outageMs: Math.round(now - this.#lostAt),
      omittedItems: message.call.omittedItems ?? 0,
    });
  }

  /** A fresh upstream knows nothing of these: what they were is said again, under other names. */
  #forgetItems(itemIds: readonly string[]): void {
    for (const item_id of itemIds)
      this.#host.event({ type: 'conversation.item.deleted', event_id: `parley_${item_id}`, item_id });
  }

  #afterSendFrom(attachment: Attachment): void {
    if (this.#finishing) attachment.finish();
    this.#host.progress();
  }

  #placesOf(events: readonly Message[]): number[] {
    return events.flatMap((event) => this.#places.get(event) ?? []);
  }

  #watchBetter(session: CarrierSession): void {
    const better = () => {
      if (this.#current?.session === session) this.#look('better');
    };
    session.better?.then(better, () => undefined);
  }

  /** How long another session is looked for, in ms; 0 where the backend keeps no calls. */
  get #windowMs(): number {
    return this.#options.resumeFor ?? (this.#ready?.call.resumeSeconds ?? 0) * 1000;
  }

  /** Looks for another session. */
  #look(why: Why, error?: CallError): void {
    const windowMs = this.#windowMs;
    if (this.#over || windowMs <= 0) return;
    const now = performance.now();
    const wasReconnecting = this.#why === 'lost' || this.#why === 'silent';
    if (why !== 'lost' && this.#why !== undefined) return;
    this.#why = why;
    if (!wasReconnecting) this.#lostAt = why === 'silent' ? this.#silence.since : now;
    if (why === 'lost') this.#lostBy = error;
    if (why === 'lost' || why === 'silent') this.#host.reconnecting(error);
    const hasOwner = this.#ready?.call.host !== undefined;
    const byServer = error?.code === 'closed_by_server';
    this.#redial.begin({ windowMs, target: why === 'move' ? 'original' : 'owner', hasOwner, byServer });
  }

  #attachmentOver(error: CallError, from: Attachment): void {
    if (this.#over) return;
    const isCandidate = this.#candidate?.attachment === from;
    if (!isCandidate && from !== this.#current) return;
    if (this.#ready === undefined) {
      this.#current = undefined;
      // Who began the call decides whether it is worth another dial.
      this.#firstReady?.reject(error);
      return;
    }
    // A session that gave way to the page's own newer one, which may be gone again, says the same as for another page's: a dial decides.
    const superseded = !isCandidate && from.rivalled;
    if (!this.call.resumable || this.#windowMs <= 0 || (endsTheCall(error) && !superseded)) {
      this.#host.failed(error);
      return;
    }
    if (isCandidate) this.#candidateFailed();
    else {
      this.#current = undefined;
      this.codec.lost();
      this.#look('lost', error);
    }
  }

  #candidateFailed(): void {
    const candidate = this.#candidate;
    if (candidate === undefined) return;
    this.#candidate = undefined;
    this.#current?.release();
    this.#current?.rivalFailed(performance.now());
    this.#redial.failed(candidate.id);
  }

  /** What the redial policy says. */
  #do(step: RedialStep): void {
    switch (step.type) {
      case 'dial':
        void this.#redialTo(step.id, step.target);
        break;
      case 'abandon':
        this.#dials.get(step.id)?.abort();
        this.#dials.delete(step.id);
        break;
      case 'give_up':
        // A session that is still there carries the call for as long as it lasts; silence of it is noticed again.
        if (this.#current === undefined)
          this.#host.failed(notResumedError(performance.now() - this.#lostAt, this.#lostBy));
        this.#why = undefined;
    }
  }

  async #redialTo(id: number, target: RedialTarget): Promise<void> {
    const abort = new AbortController();
    this.#dials.set(id, abort);
    try {
      const timeoutMs = this.#options.timeoutMs ?? REDIAL_TIMEOUT_MS;
      const session = await this.#dial(await this.#url(target), abort.signal, timeoutMs);
      if (this.#dials.delete(id) && !this.#over) this.#greet(id, session);
      else session.close();
    } catch {
      if (!this.#dials.delete(id)) return;
      this.#redial.failed(id);
    }
  }

  /** Asks the new session to carry the call. What comes on the old one from here on is not taken: the new one brings it again. */
  #greet(id: number, session: CarrierSession): void {
    this.#redial.standing(id);
    this.#current?.hold();
    const attachment = new Attachment(session, this.#attachmentHost(id));
    this.#candidate = { attachment, id };
    this.#current?.rival();
    const unheard = this.#host.answers.current?.playback.unheardResponses;
    void attachment.open(this.call.resume(this.#why === 'move', unheard));
    const timer = setTimeout(() => {
      if (this.#candidate?.attachment !== attachment) return;
      attachment.close(SessionCloseCode.INTERNAL, 'no answer came in time');
      this.#candidateFailed();
    }, this.#timeoutMs);
    session.closed.then(
      () => clearTimeout(timer),
      () => clearTimeout(timer),
    );
    this.#redial.drive();
  }

  #tick(): void {
    const now = performance.now();
    if (this.attached && this.#candidate === undefined) {
      this.#report();
      this.#host.answers.current?.downlink.tick(now);
      this.codec.tick(this.microphone.samples, (at) => this.#host.elapsedMs(at), now);
    }
    if (this.attached && this.#silence.isSilent(now, this.#flowing)) this.#look('silent');
  }

  /** Whether microphone audio is under way, or waits to be acknowledged. */
  get #flowing(): boolean {
    return this.call.receivedSamples < this.microphone.samples;
  }

  #report(): void {
    const report = this.call.report();
    if (report === undefined) return;
    try {
      this.send({ type: 'parley.received', ...report });
    } catch (error) {
      this.#host.failed(toCallError(error));
    }
  }
}
