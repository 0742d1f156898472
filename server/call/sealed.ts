import * as z from 'zod';
import {
  type ConversationSnapshot,
  MAX_CHECKPOINT_OCTETS,
  MAX_GONE_ITEMS,
  MAX_ITEM_NAME_LENGTH,
} from '../../proto/voice/index.ts';

/** How old a ticket or a checkpoint may be: longer than any call, as one is made only when there is something new. */
export const MAX_SEALED_AGE_SECONDS = 24 * 3600;
/** Octets of a checkpoint's JSON that make `MAX_CHECKPOINT_OCTETS` when sealed: base64 has 4 for each 3. */
const MAX_SNAPSHOT_OCTETS = Math.floor((MAX_CHECKPOINT_OCTETS * 3) / 4) - 1024;

const count = z.number().int().nonnegative();

/** What a ticket says. */
export const ticketSchema = z.object({
  callId: z.string().min(1).max(64),
  /** One backend's holding of the call: another that restores it counts messages anew. */
  incarnation: z.string().min(1).max(64),
});
export type Ticket = z.infer<typeof ticketSchema>;

/** What a checkpoint holds. */
export const checkpointSchema = z.object({
  callId: z.string().min(1).max(64),
  snapshot: z.object({
    session: z.record(z.string(), z.unknown()).optional(),
    items: z.array(z.looseObject({ id: z.string().min(1), type: z.string().min(1) })),
    omittedItems: count,
    // Backends of the version before make none, and their calls go on here while they are replaced.
    goneItems: z.array(z.string().min(1).max(MAX_ITEM_NAME_LENGTH)).max(MAX_GONE_ITEMS).default([]),
    microphoneSamples: count,
    pageEvents: count,
    coveredPageEvents: z.array(count),
  }),
});

/** Leaves the oldest items out, and counts them, until a checkpoint of it is short enough. */
export function fitSnapshot(snapshot: ConversationSnapshot): ConversationSnapshot {
  const lengths = snapshot.items.map((item) => octetsOf(item) + 1);
  let octets = octetsOf({ ...snapshot, items: [] }) + lengths.reduce((sum, length) => sum + length, 0);
  let omitted = 0;
  for (; octets > MAX_SNAPSHOT_OCTETS && omitted < lengths.length; omitted++) octets -= lengths[omitted]!;
  if (omitted === 0) return snapshot;
  const { items, omittedItems } = snapshot;
  return { ...snapshot, items: items.slice(omitted), omittedItems: omittedItems + omitted };
}

function octetsOf(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value));
}
