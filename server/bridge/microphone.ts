import type { ReadableStreamDefaultReader } from 'node:stream/web';
import {
  type Message,
  type MicrophoneCodec,
  MicrophoneMachine,
  OCTETS_PER_SAMPLE,
  StreamCode,
  type UplinkMessage,
} from '../../proto/voice/index.ts';
import { LazyMap, LazySet } from '../../proto/wire/index.ts';
import { type DirectReader, type ReceiveStream, StreamError } from '../webtransport/types.ts';
import { MicrophoneDelay } from './microphone-delay.ts';
import { createOpusDecoder } from './opus.ts';
import { ignore } from './stream-sender.ts';

/** How long samples that arrived may go unacknowledged, in ms; the end of a stretch is told at once. */
const ACKNOWLEDGE_MS = 200;
const SETTLE_POLL_MS = 10;

type Reader = ReadableStreamDefaultReader<Uint8Array>;

/** Where the microphone's audio, and the events among it, go. */
export interface MicrophoneSink {
  /** Waits until more audio may be sent; `undefined` when it may at once. */
  ready(): Promise<void> | undefined;
  append(pcm: Uint8Array): void;
  /** An event of the page whose turn has come. */
  event(json: string, event: PageEvent): void;
  /** So many samples have arrived, in order. */
  received(samples: number): void;
  /** What was appended last had been said so many ms before. */
  delayed?(delayMs: number): void;
  /** Audio comes in another codec from now on. */
  switched?(codec: MicrophoneCodec): void;
}

/** An event of the page, on its way among the audio. */
export interface PageEvent {
  /** Its number in the call. */
  readonly number: number;
  readonly message: Message;
  /** Samples that go before it, when it is bound to them. */
  readonly samples: number | undefined;
}

/**
 * Moves the octets of the microphone's streams into the machine that orders them, and what comes out to the upstream. While
 * that takes nothing, nothing is read, so QUIC's flow control stops the page.
 */
export class Microphone {
  readonly #sink: MicrophoneSink;
  readonly #resumable: boolean;
  readonly #machine = new MicrophoneMachine();
  readonly #delay = new MicrophoneDelay();
  readonly #readers = new LazyMap<number, Reader>();
  readonly #wanted = new LazyMap<number, () => void>();
  /** Streams that are taken as they come, and what has each looked at again. */
  readonly #direct = new LazyMap<number, () => void>();
  /** Events in the machine, in order: the same that come out of it. */
  #events: PageEvent[] = [];
  #eventsTaken = 0;
  /** Streams from before a rewind, until the page ends them. */
  readonly #discarded = new LazySet<Reader>();
  /** The page was asked to send again in the session that carries the call. */
  #nextStream = 0;
  #stopped = false;
  #stalledSince: number | undefined;
  #acknowledging: NodeJS.Timeout | undefined;
  #mayHold: (() => void)[] = [];
  /** The page of this session may give streams up and send the rest again: one that offers Opus. */
  pageResends = false;
  /** How long the quickest message of the page takes to come, in ms. */
  oneWayMs = 0;
  /** The sample behind the last one that was appended. */
  #appended = 0;
  #codec: MicrophoneCodec = 'pcm16';

  /** `resumable`: what a stream lost that broke off is sent again in the next session, so the call need not end. */
  constructor(sink: MicrophoneSink, resumable = false) {
    this.#sink = sink;
    this.#resumable = resumable;
  }

  /** Samples handed to the upstream so far. */
  get samples(): number {
    return this.#machine.samples;
  }

  /** Samples that arrived in order, handed on or not. */
  get receivedSamples(): number {
    return this.#machine.receivedSamples;
  }

  /** How audio came since this was asked last: its codec, what Opus saved in the call, the longest delay. */
  takeFigures(): { codec: MicrophoneCodec; savedOctets: number; delayMs: number | null } {
    const { codec, savedOctets } = this.#machine;
    const delayMs = this.#delay.takeLongestMs();
    return { codec, savedOctets, delayMs: delayMs === undefined ? null : Math.round(delayMs) };
  }

  /** The page says when it took which sample. */
  told(message: UplinkMessage): void {
    this.#delay.told(message, this.oneWayMs, performance.now());
  }

  /** `performance.now()` when it began to wait for the upstream; undefined when it does not. */
  get stalledSince(): number | undefined {
    return this.#stalledSince;
  }

  /**
   * Reads one stream to its end. Rejects with `VoiceProtocolError` when the page broke the protocol or the stream was reset;
   * the call cannot go on after either. `gone` says whether the session is over, so that a stream which breaks off is no fault.
   */
  async accept(stream: ReceiveStream, gone: () => boolean): Promise<void> {
    const reader = stream.getReader();
    reader.closed.catch(ignore);
    if (this.#stopped) {
      cancelQuietly(reader);
      return;
    }
    const id = this.#nextStream++;
    this.#readers.set(id, reader);
    this.#machine.open(id);
    while (!this.#stopped && this.#readers.has(id)) {
      if (this.#machine.undecoded(id)) await this.#decode(id);
      else if (!this.#machine.knows(id)) {
        this.#readers.delete(id);
        void this.#discard(reader);
      } else if (!this.#machine.wants(id)) await this.#untilWanted(id);
      else if (stream.direct === undefined || !(await this.#takeDirectly(id, stream.direct)))
        await this.#take(id, reader, gone);
    }
  }

  /**
   * Takes what comes of a stream as it comes, until the stream ends, breaks off, or is to be read no more for now: a frame of audio
   * costs no promise. Resolves with false when what follows has to be read. Rejects as `accept` does.
   */
  #takeDirectly(id: number, direct: DirectReader): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const leave = () => {
        direct.onReadable(undefined);
        this.#direct.delete(id);
      };
      const settle = () => {
        leave();
        resolve(!direct.over);
      };
      const take = () => {
        try {
          while (this.#machine.wants(id) && this.#direct.has(id)) {
            const chunk = direct.readNow();
            if (chunk === undefined) break;
            this.#machine.receive(id, chunk);
          }
          this.#drain();
        } catch (error) {
          leave();
          reject(error);
        }
        if (direct.over && this.#direct.has(id)) settle();
      };
      this.#direct.set(id, settle);
      direct.onReadable(take);
      take();
    });
  }

  async #take(id: number, reader: Reader, gone: () => boolean): Promise<void> {
    const chunk = await this.#read(id, reader, gone);
    if (this.#stopped || !this.#readers.has(id)) return;
    if (chunk !== undefined) this.#machine.receive(id, chunk);
    else {
      // Of Opus, packets may be left to be decoded.
      if (!this.#machine.decodes(id)) this.#readers.delete(id);
      this.#machine.end(id);
    }
    this.#drain();
  }

  /** Decodes some packets; other calls have their turn first, as a few octets may be much audio. */
  async #decode(id: number): Promise<void> {
    if (this.#machine.wantsDecoder(id)) this.#machine.giveDecoder(id, await createOpusDecoder());
    else {
      await turn();
      this.#machine.decodeMore();
    }
    if (!this.#stopped) this.#drain();
  }

  /** Whether there is something to do with the stream now. */
  #moves(id: number): boolean {
    return this.#machine.wants(id) || this.#machine.undecoded(id) || !this.#machine.knows(id);
  }

  /** The session that carried it is over: what comes next goes on behind what has arrived. */
  nextSession(): void {
    this.#machine.nextSession();
    this.#drain();
    for (const reader of this.#takeReaders()) cancelQuietly(reader);
  }

  /** The page sends audio and events again from this sample on; what waits is forgotten. */
  sendAgainFrom(sample: number, rewind: number): void {
    this.#machine.sendAgainFrom(sample, rewind);
    this.#appended = sample;
    this.#events = [];
    this.#eventsTaken = 0;
    for (const reader of this.#takeReaders()) void this.#discard(reader);
    for (const resolve of this.#mayHold.splice(0)) resolve();
  }

  /** No stream is read for what it carries any more. */
  #takeReaders(): Reader[] {
    const readers = [...this.#readers.values()];
    this.#readers.clear();
    this.#wakeAll();
    return readers;
  }

  /** Reads on what the page sent before it knew of a rewind: a stream that is stopped would look to it like a session that breaks. */
  async #discard(reader: Reader): Promise<void> {
    this.#discarded.add(reader);
    try {
      while (!(await reader.read()).done);
    } catch {
      // Reset by the page, which sends it again.
    } finally {
      this.#discarded.delete(reader);
    }
  }

  /** An event of the page, in its order among the audio; see `MicrophoneMachine.event`. */
  event(json: string | undefined, event: PageEvent): void {
    if (this.#stopped) return;
    if (json !== undefined) this.#events.push(event);
    this.#machine.event(json, event.samples);
    this.#drain();
  }

  /** Waits while so many octets of events are held that no more should be read; `undefined` when they are not. */
  mayHoldMore(): Promise<void> | undefined {
    if (!this.#machine.holdsMuch || this.#stopped) return undefined;
    return new Promise((resolve) => this.#mayHold.push(resolve));
  }

  /** Throws when the page announced audio, or an event, that has not come for `timeoutMs`. */
  check(timeoutMs: number): void {
    this.#machine.check(performance.now(), timeoutMs);
  }

  /** Waits until every stream that has come was read to its end, as long as samples come within `timeoutMs` of each other. */
  async settled(timeoutMs: number): Promise<void> {
    let { receivedSamples } = this.#machine;
    let end = performance.now() + timeoutMs;
    while (this.#readers.size > 0 && !this.#stopped && performance.now() < end) {
      await new Promise<void>((resolve) => {
        setTimeout(resolve, SETTLE_POLL_MS);
      });
      if (this.#machine.receivedSamples === receivedSamples) continue;
      receivedSamples = this.#machine.receivedSamples;
      end = performance.now() + timeoutMs;
    }
    this.#machine.flush();
    this.#drain();
  }

  /** Stops reading for good. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#acknowledging);
    this.#machine.clear();
    for (const reader of [...this.#readers.values(), ...this.#discarded]) cancelQuietly(reader);
    this.#readers.clear();
    this.#wakeAll();
    for (const resolve of this.#mayHold.splice(0)) resolve();
  }

  #wakeAll(): void {
    for (const wake of [...this.#wanted.values(), ...this.#direct.values()]) wake();
    this.#wanted.clear();
  }

  /** Hands on what the machine gives, then reads where it wants more. */
  #drain(): void {
    for (let output = this.#machine.poll(); output !== undefined; output = this.#machine.poll()) {
      if (this.#stopped) return;
      if (output.type === 'append') this.#append(output.pcm);
      else if (output.type === 'event') this.#sink.event(output.json, this.#nextEvent());
      else this.#sink.received(output.samples);
    }
    this.#acknowledgeSoon();
    if (this.#stalledSince === undefined) {
      const ready = this.#sink.ready();
      if (ready !== undefined) void this.#stall(ready);
    }
    if (this.#wanted.size > 0) this.#wakeWanted();
    if (this.#direct.size > 0)
      for (const [id, lookAgain] of this.#direct) if (!this.#machine.wants(id)) lookAgain();
    if (this.#mayHold.length > 0 && !this.#machine.holdsMuch)
      for (const resolve of this.#mayHold.splice(0)) resolve();
  }

  #wakeWanted(): void {
    for (const [id, wake] of this.#wanted) {
      if (!this.#moves(id)) continue;
      this.#wanted.delete(id);
      wake();
    }
  }

  #append(pcm: Uint8Array): void {
    this.#appended += pcm.length / OCTETS_PER_SAMPLE;
    this.#sink.append(pcm);
    const delayMs = this.#delay.handedOn(this.#appended, performance.now());
    if (delayMs !== undefined) this.#sink.delayed?.(delayMs);
    const { codec } = this.#machine;
    if (codec === this.#codec) return;
    this.#codec = codec;
    this.#sink.switched?.(codec);
  }

  #nextEvent(): PageEvent {
    const event = this.#events[this.#eventsTaken]!;
    this.#eventsTaken += 1;
    if (this.#eventsTaken < this.#events.length) return event;
    this.#events = [];
    this.#eventsTaken = 0;
    return event;
  }

  #acknowledgeSoon(): void {
    if (this.#acknowledging !== undefined || this.#stopped) return;
    this.#acknowledging = setTimeout(() => {
      this.#acknowledging = undefined;
      const samples = this.#machine.takeAcknowledgement();
      if (samples !== undefined) this.#sink.received(samples);
    }, ACKNOWLEDGE_MS);
  }

  async #stall(ready: Promise<void>): Promise<void> {
    this.#stalledSince = performance.now();
    this.#machine.setUpstreamReady(false);
    await ready;
    this.#stalledSince = undefined;
    this.#machine.setUpstreamReady(true);
    if (!this.#stopped) this.#drain();
  }

  #untilWanted(id: number): Promise<void> {
    return new Promise((resolve) => {
      this.#wanted.set(id, resolve);
    });
  }

  /** Undefined at the end of the stream. */
  async #read(id: number, reader: Reader, gone: () => boolean): Promise<Uint8Array | undefined> {
    try {
      const { done, value } = await reader.read();
      return done ? undefined : value;
    } catch (error) {
      // The session's end is known only after its streams have failed.
      await turn();
      const ours = this.#readers.delete(id);
      if (gone() || this.#stopped || !ours || !this.#machine.knows(id)) return undefined;
      if (this.pageResends && (error as Partial<StreamError>)?.streamErrorCode === StreamCode.CANCELLED) {
        this.#machine.abandoned(id);
        return undefined;
      }
      try {
        this.#machine.reset(id, (error as Error)?.message ?? 'reset');
      } catch (broken) {
        // It is sent again in the next session.
        if (this.#resumable) throw new StreamError(StreamCode.CANCELLED, 'a microphone stream broke off');
        throw broken;
      }
      return undefined;
    }
  }
}

/** Lets everything that waits happen first. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

function cancelQuietly(reader: Reader): void {
  reader.cancel(new StreamError(StreamCode.SESSION_CLOSED, 'the session is over')).catch(ignore);
}
