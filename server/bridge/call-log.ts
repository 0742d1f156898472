import type { Logger } from 'pino';
import { formatAddress } from '../../proto/quic/types.ts';
import type { Message } from '../../proto/voice/index.ts';
import type { WebTransportSession } from '../webtransport/types.ts';
import type { SessionEnd } from './ending.ts';

/** What was carried, as the end of a call tells. */
export interface CallFigures {
  readonly microphoneSamples: number;
  readonly answerSamples: number;
  readonly answerSamplesDropped: number;
}

/** Two lines of the log for each call: one when it begins, and one at its end that explains it. */
export class CallLog {
  readonly #logger: Logger;
  readonly #session: WebTransportSession;
  readonly #startedAt = performance.now();
  #upstreamSession: string | undefined;
  #underruns = 0;
  #bargeIns = 0;

  constructor(session: WebTransportSession, logger: Logger) {
    this.#session = session;
    this.#logger = logger;
  }

  began(upstream: string): void {
    const { remoteAddress, origin } = this.#session.request;
    this.#logger.info({ caller: formatAddress(remoteAddress), origin, upstream }, 'call began');
  }

  /** `session.created`: the ID under which the upstream's operator finds the call. */
  upstreamSession(event: Message): void {
    const { session } = event as { session?: { id?: unknown } | null };
    if (typeof session?.id === 'string') this.#upstreamSession = session.id.slice(0, 256);
  }

  bargeIn(): void {
    this.#bargeIns += 1;
  }

  /** What the page counts of the whole call. */
  underruns(count: number): void {
    this.#underruns = Math.max(this.#underruns, count);
  }

  ended({ closeCode, reason, error }: SessionEnd, figures: CallFigures): void {
    const stats = this.#session.stats();
    this.#logger.info(
      {
        caller: formatAddress(this.#session.request.remoteAddress),
        durationMs: Math.round(performance.now() - this.#startedAt),
        closeCode,
        error,
        reason,
        rttMs: rounded(stats.smoothedRttMs),
        minRttMs: rounded(stats.minRttMs),
        packetsSent: stats.packetsSent,
        packetsLost: stats.packetsLost,
        pathChanges: stats.pathChanges,
        ...figures,
        underruns: this.#underruns,
        bargeIns: this.#bargeIns,
        upstreamSession: this.#upstreamSession,
      },
      'call ended',
    );
  }
}

/** Tenths of a ms; undefined before the first sample, which is infinite to the engine. */
function rounded(ms: number): number | undefined {
  return Number.isFinite(ms) ? Math.round(ms * 10) / 10 : undefined;
}
