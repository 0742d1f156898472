import * as z from 'zod';
import { sessionSchema } from './config.ts';

const eventId = z.string().max(512).optional();
const id = z.string().min(1).max(256);

const item = z.looseObject({
  id: id.optional(),
  type: z.string(),
  role: z.enum(['user', 'assistant', 'system']).optional(),
  content: z
    .array(z.looseObject({ type: z.string() }))
    .max(64)
    .optional(),
  /** What a function answered. */
  output: z.string().optional(),
});

const responseWish = z.looseObject({
  output_modalities: z.array(z.enum(['text', 'audio'])).optional(),
  tools: z.array(z.unknown()).max(128).optional(),
  tool_choice: z.unknown().optional(),
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
export type ClientItem = z.infer<typeof item>;
