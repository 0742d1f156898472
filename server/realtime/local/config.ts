import type { RealtimeSessionCreateRequest } from 'openai/resources/realtime/realtime';
import * as z from 'zod';
import { DEFAULT_VAD, type VadConfig } from './vad.ts';

const format = z.looseObject({ type: z.literal('audio/pcm'), rate: z.literal(24_000).optional() });

const turnDetection = z.looseObject({
  type: z.enum(['server_vad', 'semantic_vad']),
  threshold: z.number().min(0).max(1).optional(),
  prefix_padding_ms: z.int().min(0).max(10_000).optional(),
  silence_duration_ms: z.int().min(20).max(60_000).optional(),
  create_response: z.boolean().optional(),
  interrupt_response: z.boolean().optional(),
});

/** The part of a session's configuration that this service acts upon or checks; the rest is kept and given back. */
export const sessionSchema = z.looseObject({
  type: z.literal('realtime'),
  model: z.string().optional(),
  instructions: z
    .string()
    .max(1 << 17)
    .optional(),
  output_modalities: z
    .array(z.enum(['text', 'audio']))
    .length(1)
    .optional(),
  audio: z
    .looseObject({
      input: z
        .looseObject({
          format: format.optional(),
          turn_detection: turnDetection.nullable().optional(),
          transcription: z.looseObject({ model: z.string().optional() }).nullable().optional(),
        })
        .optional(),
      output: z.looseObject({ format: format.optional(), voice: z.unknown().optional() }).optional(),
    })
    .optional(),
});
export type SessionUpdate = z.infer<typeof sessionSchema>;
type TurnDetection = z.infer<typeof turnDetection>;

/** A session's configuration, complete. */
export interface SessionConfig extends Record<string, unknown> {
  type: 'realtime';
  model: string;
  output_modalities: ('text' | 'audio')[];
  audio: {
    input: {
      turn_detection: TurnDetection | null;
      transcription: { model?: string | undefined } | null;
      [field: string]: unknown;
    };
    output: Record<string, unknown>;
  };
}

/** What a detector is set to where a client does not say. */
const DETECTORS: Readonly<Record<TurnDetection['type'], TurnDetection>> = {
  server_vad: {
    type: 'server_vad',
    threshold: DEFAULT_VAD.threshold,
    prefix_padding_ms: DEFAULT_VAD.prefixPaddingMs,
    silence_duration_ms: DEFAULT_VAD.silenceDurationMs,
    create_response: true,
    interrupt_response: true,
  },
  semantic_vad: {
    type: 'semantic_vad',
    eagerness: 'auto',
    create_response: true,
    interrupt_response: true,
  },
};

/** How a session begins. Unlike the real API, the caller's words are "transcribed" from the start, so that a page shows something. */
export function defaultSession(model: string): SessionConfig {
  return {
    type: 'realtime',
    model,
    output_modalities: ['audio'],
    instructions: '',
    tools: [],
    tool_choice: 'auto',
    max_output_tokens: 'inf',
    truncation: 'auto',
    audio: {
      input: {
        format: { type: 'audio/pcm', rate: 24_000 },
        transcription: { model: 'parrot' },
        noise_reduction: null,
        turn_detection: DETECTORS.server_vad,
      },
      output: { format: { type: 'audio/pcm', rate: 24_000 }, voice: 'parrot', speed: 1 },
    },
  };
}

/** The configuration after a `session.update`: given fields replace, the others stay. */
export function updateSession(current: SessionConfig, update: SessionUpdate): SessionConfig {
  const { audio, ...rest } = update;
  const input = { ...current.audio.input, ...audio?.input } as SessionConfig['audio']['input'];
  const turns = audio?.input?.turn_detection;
  if (turns) {
    const previous = current.audio.input.turn_detection;
    input.turn_detection = {
      ...(previous?.type === turns.type ? previous : DETECTORS[turns.type]),
      ...turns,
    };
  }
  return {
    ...current,
    ...rest,
    model: current.model,
    output_modalities: update.output_modalities ?? current.output_modalities,
    audio: { input, output: { ...current.audio.output, ...audio?.output } },
  };
}

/** The detector's settings, or undefined when the client ends turns itself. */
export function vadConfig(session: SessionConfig): VadConfig | undefined {
  const turns = session.audio.input.turn_detection;
  if (turns === null) return undefined;
  return {
    threshold: turns.threshold ?? DEFAULT_VAD.threshold,
    prefixPaddingMs: turns.prefix_padding_ms ?? DEFAULT_VAD.prefixPaddingMs,
    silenceDurationMs: turns.silence_duration_ms ?? DEFAULT_VAD.silenceDurationMs,
  };
}

/** The session as events carry it. */
export function sessionResource(id: string, expiresAt: number, session: SessionConfig) {
  return {
    object: 'realtime.session',
    id,
    expires_at: expiresAt,
    ...session,
  } as unknown as RealtimeSessionCreateRequest;
}
