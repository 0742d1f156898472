import type { ReadableStream, ReadableStreamDefaultReader } from 'node:stream/web';
import {
  MAX_WAITING_STRETCHES,
  MicrophoneHeaderDecoder,
  MicrophoneOrder,
  msToSamples,
  OCTETS_PER_SAMPLE,
  PcmAligner,
  SessionCloseCode,
  StreamCode,
  VoiceProtocolError,
} from '../../proto/voice/index.ts';
import { StreamError } from '../webtransport/types.ts';
import { ignore } from './stream-sender.ts';

/**
 * Audio in one `input_audio_buffer.append`: less is gathered first, more is cut. A page sends 20 ms at a time; two of them per
 * event halve what an event costs (JSON, WebSocket, TLS and a system call: as much as QUIC itself) and hold a sample back by
 * 10 ms at the mean, which a turn detector that waits for 500 ms of silence does not notice.
 */
const MIN_APPEND_OCTETS = msToSamples(40) * OCTETS_PER_SAMPLE;
const MAX_APPEND_OCTETS = msToSamples(100) * OCTETS_PER_SAMPLE;

const SETTLE_POLL_MS = 10;

type Reader = ReadableStreamDefaultReader<Uint8Array>;

interface Stretch {
  readonly reader: Reader;
  /** Audio that came in the same chunk as the header. */
  readonly first: Uint8Array;
  readonly orderedEvents: number;
}

/** Where the microphone's audio goes. */
export interface MicrophoneSink {
  /** Waits until more audio may be sent; `undefined` when it may at once. */
  ready(): Promise<void> | undefined;
  /** 40 to 100 ms of whole samples (the last before a pause may be shorter); the octets are good for the call only. */
  append(pcm: Uint8Array): void;
  /** Waits until so many ordered events were sent: a stretch may belong behind one. */
  reached(orderedEvents: number): Promise<void>;
  /** Sample that an ordered event waits for; audio up to it is handed on without gathering more. */
  awaitedSample(): number | undefined;
}

/**
 * Reads the microphone's streams, one stretch after the other, and hands every sample on exactly once and in order.
 * While the sink is not ready nothing is read, so QUIC's flow control stops the page.
 */
export class Microphone {
  readonly #sink: MicrophoneSink;
  readonly #order = new MicrophoneOrder<Stretch>();
  readonly #readers = new Set<Reader>();
  #pumping = false;
  #stopped = false;
  #samples = 0;
  #stalledSince: number | undefined;
  #gathered: Gatherer | undefined;

  constructor(sink: MicrophoneSink) {
    this.#sink = sink;
  }

  /** Samples handed on so far. */
  get samples(): number {
    return this.#samples;
  }

  /** `performance.now()` when it began to wait for the sink; undefined when it does not. */
  get stalledSince(): number | undefined {
    return this.#stalledSince;
  }

  /** Streams that are open. */
  get streams(): number {
    return this.#readers.size;
  }

  /**
   * Reads one stream to its end, and those that waited for it. Rejects with `VoiceProtocolError` when the page broke
   * the protocol, with the stream's error when it was reset; the session cannot go on after either.
   */
  async accept(stream: ReadableStream<Uint8Array>): Promise<void> {
    const reader = stream.getReader();
    reader.closed.catch(ignore);
    if (this.#stopped) {
      cancelQuietly(reader);
      return;
    }
    this.#readers.add(reader);
    if (this.#readers.size > MAX_WAITING_STRETCHES + 1) {
      throw new VoiceProtocolError(
        SessionCloseCode.TOO_MANY_STREAMS,
        `more than ${MAX_WAITING_STRETCHES + 1} microphone streams are open`,
      );
    }
    const decoder = new MicrophoneHeaderDecoder();
    let first = new Uint8Array();
    while (decoder.header === undefined) {
      const chunk = await this.#read(reader);
      if (this.#stopped) return;
      if (chunk === undefined) {
        throw new VoiceProtocolError(SessionCloseCode.MALFORMED, 'a microphone stream ended in its header');
      }
      first = new Uint8Array(decoder.push(chunk));
    }
    const { orderedEvents = 0 } = decoder.header;
    this.#order.offer(decoder.header, { reader, first, orderedEvents });
    await this.#pump();
  }

  /** Hands on what was gathered, if an ordered event waits for it. */
  flushAwaited(): void {
    const awaited = this.#sink.awaitedSample();
    if (awaited !== undefined && awaited <= this.#order.samples) this.#gathered?.flush();
  }

  /** Waits until every stream that has come was read to its end, or `timeoutMs` passed. */
  async settled(timeoutMs: number): Promise<void> {
    const end = performance.now() + timeoutMs;
    while (this.#readers.size > 0 && !this.#stopped && performance.now() < end) {
      await new Promise<void>((resolve) => {
        setTimeout(resolve, SETTLE_POLL_MS);
      });
    }
  }

  /** Stops reading for good. */
  stop(): void {
    this.#stopped = true;
    this.#order.clear();
    for (const reader of this.#readers) cancelQuietly(reader);
    this.#readers.clear();
  }

  async #pump(): Promise<void> {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      for (let stretch = this.#order.begin(); stretch !== undefined; stretch = this.#order.begin()) {
        await this.#drain(stretch);
        if (this.#stopped) return;
        this.#order.finish();
      }
    } finally {
      this.#pumping = false;
    }
  }

  async #drain({ reader, first, orderedEvents }: Stretch): Promise<void> {
    await this.#sink.reached(orderedEvents);
    if (this.#stopped) return;
    const aligner = new PcmAligner();
    const gathered = new Gatherer((pcm) => this.#append(pcm));
    this.#gathered = gathered;
    let chunk: Uint8Array | undefined = first;
    while (chunk !== undefined) {
      const whole = aligner.push(chunk);
      this.#order.advance(whole.length / OCTETS_PER_SAMPLE);
      gathered.push(whole);
      this.flushAwaited();
      const ready = this.#sink.ready();
      if (ready !== undefined) await this.#stall(ready);
      if (this.#stopped) return;
      chunk = await this.#read(reader);
      if (this.#stopped) return;
    }
    gathered.flush();
    this.#readers.delete(reader);
    if (aligner.pendingOctets === 0) return;
    throw new VoiceProtocolError(
      SessionCloseCode.MICROPHONE_BROKEN,
      'a microphone stream ended in the middle of a sample',
    );
  }

  #append(pcm: Uint8Array): void {
    if (this.#stopped) return;
    this.#samples += pcm.length / OCTETS_PER_SAMPLE;
    this.#sink.append(pcm);
  }

  async #stall(until: Promise<void>): Promise<void> {
    this.#stalledSince = performance.now();
    await until;
    this.#stalledSince = undefined;
  }

  async #read(reader: Reader): Promise<Uint8Array | undefined> {
    try {
      const { done, value } = await reader.read();
      return done ? undefined : value;
    } catch (error) {
      if (this.#stopped) return undefined;
      throw new VoiceProtocolError(
        SessionCloseCode.MICROPHONE_BROKEN,
        `a microphone stream broke off before its end: ${(error as Error)?.message ?? 'reset'}`,
      );
    }
  }
}

/** Makes runs of a useful length out of chunks of any length. */
class Gatherer {
  readonly #emit: (pcm: Uint8Array) => void;
  readonly #pending = new Uint8Array(MAX_APPEND_OCTETS);
  #length = 0;

  constructor(emit: (pcm: Uint8Array) => void) {
    this.#emit = emit;
  }

  push(octets: Uint8Array): void {
    if (this.#length === 0 && octets.length >= MIN_APPEND_OCTETS && octets.length <= MAX_APPEND_OCTETS) {
      this.#emit(octets);
      return;
    }
    let at = 0;
    while (at < octets.length) {
      const take = Math.min(octets.length - at, MAX_APPEND_OCTETS - this.#length);
      this.#pending.set(octets.subarray(at, at + take), this.#length);
      this.#length += take;
      at += take;
      if (this.#length === MAX_APPEND_OCTETS) this.flush();
    }
    if (this.#length >= MIN_APPEND_OCTETS) this.flush();
  }

  flush(): void {
    if (this.#length === 0) return;
    const run = this.#pending.subarray(0, this.#length);
    this.#length = 0;
    this.#emit(run);
  }
}

function cancelQuietly(reader: Reader): void {
  reader.cancel(new StreamError(StreamCode.SESSION_CLOSED, 'the session is over')).catch(ignore);
}
