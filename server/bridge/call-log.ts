import type { Logger } from 'pino';
import type { QuicStats } from '../../proto/quic/index.ts';
import { formatAddress } from '../../proto/quic/types.ts';
import type { HowAttached, Message } from '../../proto/voice/index.ts';
import type { WebTransportSession } from '../webtransport/types.ts';
import type { SessionEnd } from './ending.ts';

/** What was carried, as the end of a call tells. */
export interface CallFigures {
  readonly microphoneSamples: number;
  readonly answerSamples: number;
  readonly answerSamplesDropped: number;
}

interface SessionFigures {
  readonly caller: string;
  readonly stats: QuicStats;
}

/** The log of a call: a line when it begins, one at its end that explains it, and one for each change between. */
export class CallLog {
  readonly #logger: Logger;
  readonly #startedAt = performance.now();
  #session: WebTransportSession | undefined;
  /** What the last session left to be told: a call that waits for its page must not keep that session's whole connection. */
  #last: SessionFigures | undefined;
  #upstreamSession: string | undefined;
  #underruns = 0;
  #bargeIns = 0;
  #rewinds = 0;
  #attachments = 0;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** A session carries the call. */
  carriedBy(session: WebTransportSession, how: HowAttached, upstream: string): void {
    this.#session = session;
    this.#attachments += 1;
    const { remoteAddress, origin } = session.request;
    const caller = formatAddress(remoteAddress);
    if (how === 'new') this.#logger.info({ caller, origin, upstream }, 'call began');
    else this.#logger.info({ caller, how, attachments: this.#attachments }, 'call attached');
  }

  detached(reason: string): void {
    this.#last = this.#figures();
    this.#session = undefined;
    this.#logger.info({ reason }, 'call lost its session and waits for its page');
  }

  rewound(why: string, omittedItems: number): void {
    this.#rewinds += 1;
    this.#logger.info({ why, rewinds: this.#rewinds, omittedItems }, 'call goes on with a fresh upstream');
  }

  /** `session.created`: the ID under which the upstream's operator finds the call. */
  upstreamSession(event: Message): void {
    const { session } = event as { session?: { id?: unknown } | null };
    if (typeof session?.id !== 'string') return;
    this.#upstreamSession = session.id.slice(0, 256);
    // At once, not at the end alone: a backend that dies has no end to tell.
    this.#logger.info({ upstreamSession: this.#upstreamSession }, 'upstream began');
  }

  bargeIn(): void {
    this.#bargeIns += 1;
  }

  /** What the page counts of the whole call. */
  underruns(count: number): void {
    this.#underruns = Math.max(this.#underruns, count);
  }

  #figures(): SessionFigures | undefined {
    if (this.#session === undefined) return this.#last;
    return { caller: formatAddress(this.#session.request.remoteAddress), stats: this.#session.stats() };
  }

  ended({ closeCode, reason, error }: SessionEnd, figures: CallFigures): void {
    const { caller, stats } = this.#figures() ?? {};
    this.#logger.info(
      {
        caller,
        durationMs: Math.round(performance.now() - this.#startedAt),
        closeCode,
        error,
        reason,
        rttMs: rounded(stats?.smoothedRttMs),
        minRttMs: rounded(stats?.minRttMs),
        packetsSent: stats?.packetsSent,
        packetsLost: stats?.packetsLost,
        pathChanges: stats?.pathChanges,
        ...figures,
        underruns: this.#underruns,
        bargeIns: this.#bargeIns,
        rewinds: this.#rewinds,
        attachments: this.#attachments,
        upstreamSession: this.#upstreamSession,
      },
      'call ended',
    );
  }
}

/** Tenths of a ms; undefined before the first sample, which is infinite to the engine. */
function rounded(ms: number | undefined): number | undefined {
  return ms !== undefined && Number.isFinite(ms) ? Math.round(ms * 10) / 10 : undefined;
}
