import * as z from 'zod';
import { sessionSchema } from './config.ts';

const eventId = z.string().max(512).optional();
const id = z.string().min(1).max(256);

const itemId = id.optional();
const MAX_PARTS = 64;

/** Parts of a message. A part of audio is told back without the audio, and with what is known of its words. */
const textPart = z.looseObject({ type: z.literal('input_text'), text: z.string() });
const audioPart = z
  .looseObject({ type: z.literal('input_audio'), transcript: z.string().nullable().optional() })
  .transform(({ audio: _, ...part }) => ({ ...part, transcript: part.transcript ?? '' }));
const imagePart = z.looseObject({ type: z.literal('input_image'), image_url: z.string() });
const answerPart = z.discriminatedUnion('type', [
  z.looseObject({ type: z.literal('output_text'), text: z.string() }),
  z.looseObject({ type: z.literal('output_audio'), transcript: z.string().optional() }),
]);

function message<R extends string, P extends z.ZodType>(role: R, part: P) {
  return z.looseObject({
    id: itemId,
    type: z.literal('message'),
    role: z.literal(role),
    content: z.array(part).max(MAX_PARTS),
  });
}

const item = z.discriminatedUnion('type', [
  z.discriminatedUnion('role', [
    message('system', textPart),
    message('user', z.discriminatedUnion('type', [textPart, audioPart, imagePart])),
    message('assistant', answerPart),
  ]),
  z.looseObject({
    id: itemId,
    type: z.literal('function_call'),
    name: z.string(),
    call_id: z.string().optional(),
    arguments: z.string(),
  }),
  /** What a function answered. */
  z.looseObject({
    id: itemId,
    type: z.literal('function_call_output'),
    call_id: z.string(),
    output: z.string(),
  }),
]);

const responseWish = z.looseObject({
  output_modalities: z.array(z.enum(['text', 'audio'])).optional(),
  tools: z.array(z.unknown()).max(128).optional(),
  tool_choice: z.unknown().optional(),
  metadata: z.record(z.string(), z.string()).nullable().optional(),
});
/** What a client wants of one response. */
export type ResponseWish = z.infer<typeof responseWish>;

/** Client events of the Realtime API that this service takes. */
export const clientEventSchema = z.discriminatedUnion('type', [
  z.looseObject({ type: z.literal('session.update'), event_id: eventId, session: sessionSchema }),
  z.looseObject({ type: z.literal('input_audio_buffer.append'), event_id: eventId, audio: z.string() }),
  z.looseObject({ type: z.literal('input_audio_buffer.commit'), event_id: eventId }),
  z.looseObject({ type: z.literal('input_audio_buffer.clear'), event_id: eventId }),
  z.looseObject({ type: z.literal('conversation.item.create'), event_id: eventId, item }),
  z.looseObject({ type: z.literal('conversation.item.delete'), event_id: eventId, item_id: id }),
  z.looseObject({ type: z.literal('conversation.item.retrieve'), event_id: eventId, item_id: id }),
  z.looseObject({
    type: z.literal('conversation.item.truncate'),
    event_id: eventId,
    item_id: id,
    content_index: z.int().min(0),
    audio_end_ms: z.int().min(0),
  }),
  z.looseObject({
    type: z.literal('response.create'),
    event_id: eventId,
    response: responseWish.optional(),
  }),
  z.looseObject({
    type: z.literal('response.cancel'),
    event_id: eventId,
    response_id: z.string().optional(),
  }),
]);
export type ClientEvent = z.infer<typeof clientEventSchema>;
