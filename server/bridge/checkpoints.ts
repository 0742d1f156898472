import {
  type ConversationSnapshot,
  MAX_CHECKPOINT_OCTETS,
  type ServerMessage,
} from '../../proto/voice/index.ts';
import { fitSnapshot, type Sealer, SealKind } from '../call/index.ts';

/** Checkpoints come at most this often, in ms. */
const INTERVAL_MS = 1000;

/** Events behind which the conversation can be restored better than before. */
export const CHECKPOINT_AFTER: ReadonlySet<string> = new Set([
  'response.done',
  'session.updated',
  'conversation.item.done',
  'conversation.item.created',
  'conversation.item.deleted',
  'conversation.item.truncated',
  'conversation.item.input_audio_transcription.completed',
]);

/** What the checkpoints need of their call. */
export interface CheckpointsHost {
  readonly callId: string;
  readonly subject: string;
  readonly sealer: Sealer;
  snapshot(): ConversationSnapshot;
  /** Whether a page is there to carry one. */
  attached(): boolean;
  send(message: ServerMessage): void;
  fault(error: unknown): void;
}

/** Gives the page the conversation, sealed, soon after there is something new in it. */
export class Checkpoints {
  readonly #host: CheckpointsHost;
  #timer: NodeJS.Timeout | undefined;
  #lastAt = Number.NEGATIVE_INFINITY;
  #made = 0;
  #stopped = false;

  constructor(host: CheckpointsHost) {
    this.#host = host;
  }

  /** There is something new. */
  due(): void {
    if (this.#timer !== undefined || this.#stopped) return;
    const delay = Math.max(0, this.#lastAt + INTERVAL_MS - performance.now());
    this.#timer = setTimeout(() => void this.now(), delay);
  }

  /** Makes one now, and sends it. Never rejects. */
  async now(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#stopped || !this.#host.attached()) return;
    this.#lastAt = performance.now();
    this.#made += 1;
    const made = this.#made;
    const { callId, subject, sealer } = this.#host;
    try {
      const snapshot = fitSnapshot(this.#host.snapshot());
      const sealed = await sealer.seal(SealKind.CHECKPOINT, subject, { callId, snapshot });
      // A newer one may have been made meanwhile, of a conversation that was begun anew.
      if (this.#stopped || made !== this.#made || sealed.length > MAX_CHECKPOINT_OCTETS) return;
      const { microphoneSamples, pageEvents: events, coveredPageEvents } = snapshot;
      const coveredEvents = [...coveredPageEvents];
      this.#host.send({ type: 'parley.checkpoint', sealed, microphoneSamples, events, coveredEvents });
    } catch (error) {
      this.#host.fault(error);
    }
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }
}
