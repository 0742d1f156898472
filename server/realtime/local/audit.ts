import { AudioHash, OCTETS_PER_SAMPLE } from '../../../proto/voice/index.ts';

/** Sessions and answers per session that are remembered. Worst case: 64 × 256 entries of a few hundred octets. */
const MAX_SESSIONS = 64;
const MAX_ANSWERS = 256;

/** What came in and went out of one session, counted and hashed; `GET /v1/parley/sessions` gives it. */
export interface SessionAudit {
  readonly sessionId: string;
  readonly open: boolean;
  readonly microphoneSamples: number;
  readonly microphoneHash: string;
  readonly answers: readonly {
    readonly responseId: string;
    readonly itemId: string;
    readonly samples: number;
    readonly hash: string;
    readonly truncatedMs: number | undefined;
  }[];
}

class Run {
  readonly hash = new AudioHash();

  get samples(): number {
    return this.hash.octets / OCTETS_PER_SAMPLE;
  }
}

/** The account of one session. */
export class AuditTrail {
  readonly sessionId: string;
  open = true;
  readonly #microphone = new Run();
  readonly #answers = new Map<string, Run & { responseId: string; truncatedMs?: number }>();

  constructor(sessionId: string) {
    this.sessionId = sessionId;
  }

  append(pcm: Uint8Array): void {
    this.#microphone.hash.update(pcm);
  }

  answer(responseId: string, itemId: string, pcm: Uint8Array): void {
    let run = this.#answers.get(itemId);
    if (run === undefined) {
      run = Object.assign(new Run(), { responseId });
      this.#answers.set(itemId, run);
      const oldest = this.#answers.keys().next().value;
      if (this.#answers.size > MAX_ANSWERS && oldest !== undefined) this.#answers.delete(oldest);
    }
    run.hash.update(pcm);
  }

  truncated(itemId: string, audioEndMs: number): void {
    const run = this.#answers.get(itemId);
    if (run !== undefined) run.truncatedMs = audioEndMs;
  }

  snapshot(): SessionAudit {
    return {
      sessionId: this.sessionId,
      open: this.open,
      microphoneSamples: this.#microphone.samples,
      microphoneHash: this.#microphone.hash.digest(),
      answers: [...this.#answers].map(([itemId, run]) => ({
        responseId: run.responseId,
        itemId,
        samples: run.samples,
        hash: run.hash.digest(),
        truncatedMs: run.truncatedMs,
      })),
    };
  }
}

/** The accounts of the latest sessions. */
export class Audit {
  readonly #trails: AuditTrail[] = [];

  begin(sessionId: string): AuditTrail {
    const trail = new AuditTrail(sessionId);
    this.#trails.push(trail);
    if (this.#trails.length > MAX_SESSIONS) this.#trails.shift();
    return trail;
  }

  snapshot(): SessionAudit[] {
    return this.#trails.map((trail) => trail.snapshot());
  }
}
