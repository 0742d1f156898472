import type { Message } from '../../proto/voice/index.ts';

/** Figures as the API names them, added up; a group of them is an object. */
export interface UsageFigures {
  readonly [name: string]: number | UsageFigures;
}

/** What a call cost, as the API reported it. */
export interface CallUsage {
  /** Responses that were made. */
  readonly responses: number;
  /** `usage` of them, added up: `total_tokens`, `input_tokens`, `output_tokens` and their details. */
  readonly tokens: UsageFigures;
  /** `usage` of transcriptions, added up: tokens, or `seconds` of audio, as their model counts. */
  readonly transcription: UsageFigures;
}

/** Groups within one another, and names in one, that are taken: the API has two and five. */
const MAX_DEPTH = 4;
const MAX_NAMES = 32;

type Sum = Record<string, number | Record<string, unknown>>;

/** Adds up what the upstream says that a call cost. */
export class UsageMeter {
  readonly #tokens: Sum = {};
  readonly #transcription: Sum = {};
  #responses = 0;

  get usage(): CallUsage {
    return structuredClone({
      responses: this.#responses,
      tokens: this.#tokens as UsageFigures,
      transcription: this.#transcription as UsageFigures,
    });
  }

  /** An event of the upstream. Never throws, whatever it holds. */
  upstreamEvent(event: Message): void {
    if (event.type === 'response.done') {
      this.#responses += 1;
      add(this.#tokens, (event.response as { usage?: unknown } | null | undefined)?.usage, MAX_DEPTH);
    } else if (event.type === 'conversation.item.input_audio_transcription.completed') {
      add(this.#transcription, event.usage, MAX_DEPTH);
    }
  }
}

function add(sum: Sum, usage: unknown, depth: number): void {
  if (typeof usage !== 'object' || usage === null || Array.isArray(usage) || depth === 0) return;
  for (const [name, value] of Object.entries(usage)) {
    if (!Object.hasOwn(sum, name) && (Object.keys(sum).length >= MAX_NAMES || name === '__proto__')) continue;
    const before = sum[name];
    if (typeof value === 'number' && Number.isFinite(value)) {
      if (before === undefined || typeof before === 'number') sum[name] = (before ?? 0) + value;
    } else if (typeof value === 'object' && value !== null && typeof before !== 'number') {
      const group = (before ?? {}) as Sum;
      sum[name] = group;
      add(group, value, depth - 1);
    }
  }
}
