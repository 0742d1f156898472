import { isMessageType, type Message, SAMPLE_RATE } from '../../proto/voice/index.ts';
import { audioOf } from '../realtime/index.ts';
import type { SessionEnd } from './ending.ts';
import { type HookGuard, isPromise } from './hook-guard.ts';
import type { CallHooks, EventSource, HookedAudio, HookedCall } from './hooks.ts';
import { Transcripts } from './transcripts.ts';
import { UsageMeter } from './usage.ts';

/** Audio of a call, in samples. */
export interface CallAudio {
  readonly microphoneSamples: number;
  readonly answerSamples: number;
}

/** Tells the hooks of one call what happens in it, and asks them what is to become of events. */
export class HookFeed {
  readonly #hooks: CallHooks;
  readonly #call: HookedCall;
  readonly #guard: HookGuard;
  readonly #transcripts = new Transcripts();
  readonly #usage = new UsageMeter();
  readonly #startedAt = performance.now();
  /** Microphone samples that were told: audio that a fresh upstream is given again is not told again. */
  #heardSamples = 0;
  /** Samples told of the part that is being made. */
  #part = { key: '', samples: 0 };

  constructor(hooks: CallHooks, call: HookedCall, guard: HookGuard) {
    this.#hooks = hooks;
    this.#call = call;
    this.#guard = guard;
  }

  /** What the hook makes of an event; undefined when it is left out, as it is when the hook fails: it may be there to keep things back. */
  event(event: Message, from: EventSource): Message | undefined {
    const { onEvent } = this.#hooks;
    if (onEvent === undefined) return event;
    const result = this.#guard.now('onEvent', () => onEvent(event, from, this.#call));
    if (!result.ok) return undefined;
    const { value } = result;
    if (value === undefined) return event;
    if (value === null) return undefined;
    if (!isPromise(value) && typeof value === 'object' && isMessageType(value.type)) return value;
    if (isPromise(value)) value.then(undefined, () => {});
    const why = isPromise(value)
      ? 'it gave a promise, and events cannot wait: it must answer at once'
      : 'it gave something that is no event';
    this.#guard.fault('onEvent', 'nonsense', undefined, why);
    return undefined;
  }

  /** An event of the upstream, as it came. */
  upstreamEvent(event: Message): void {
    this.#usage.upstreamEvent(event);
    const { onTranscript } = this.#hooks;
    if (onTranscript === undefined) return;
    const transcript = this.#transcripts.upstreamEvent(event);
    if (transcript !== undefined)
      this.#guard.tell('onTranscript', () => onTranscript(transcript, this.#call));
  }

  /** The caller's audio goes to the upstream: with it, `samples` of the call. */
  callerAudio(pcm: Uint8Array, samples: number): void {
    if (this.#hooks.onAudio === undefined) return;
    const fresh = Math.min(pcm.length / 2, samples - this.#heardSamples);
    if (fresh <= 0) return;
    this.#heardSamples = samples;
    const startSample = samples - fresh;
    const audio = { role: 'caller', pcm: pcm.slice(pcm.length - 2 * fresh), startSample } as const;
    this.#audio({ ...audio, itemId: undefined, contentIndex: undefined, responseId: undefined });
  }

  /** The call goes on here from this sample. */
  goesOnFrom(sample: number): void {
    this.#heardSamples = sample;
  }

  /** `response.output_audio.delta`. */
  modelAudio(event: Message): void {
    const { item_id, content_index, response_id } = event;
    const octets = this.#hooks.onAudio && audioOf(event);
    if (octets === undefined || typeof item_id !== 'string') return;
    const contentIndex = typeof content_index === 'number' ? content_index : 0;
    const key = `${item_id} ${contentIndex}`;
    if (this.#part.key !== key) this.#part = { key, samples: 0 };
    const pcm = new Uint8Array(octets);
    const startSample = this.#part.samples;
    this.#part.samples += pcm.length / 2;
    const responseId = typeof response_id === 'string' ? response_id : undefined;
    this.#audio({ role: 'model', pcm, startSample, itemId: item_id, contentIndex, responseId });
  }

  #audio(audio: HookedAudio): void {
    const { onAudio } = this.#hooks;
    if (onAudio !== undefined) this.#guard.tell('onAudio', () => onAudio(audio, this.#call));
  }

  end({ reason, closeCode, error }: SessionEnd, goesOn: boolean, audio: CallAudio): void {
    const { onEnd } = this.#hooks;
    if (onEnd === undefined) return;
    const end = {
      reason,
      closeCode,
      error,
      goesOn,
      durationMs: Math.round(performance.now() - this.#startedAt),
      microphoneSeconds: audio.microphoneSamples / SAMPLE_RATE,
      answerSeconds: audio.answerSamples / SAMPLE_RATE,
      usage: this.#usage.usage,
    };
    this.#guard.tell('onEnd', () => onEnd(end, this.#call));
  }
}
