import type { VoiceObserver } from '../bridge/index.ts';
import type { Upstream } from '../realtime/upstream.ts';
import type { WebTransportSession } from '../webtransport/index.ts';
import type { CallTimings } from './timings.ts';
import { WatchedUpstream } from './watched-upstream.ts';

/** A call as operators see it: where it stands, and nothing of what is said. */
export interface CallSummary {
  /** The ID that the page shows, and that the log has. */
  readonly session: string;
  readonly backend: string;
  /** Who calls, by the name that the log has for the subject; absent where no token is asked for. */
  readonly subject?: string | undefined;
  readonly remote: string;
  readonly origin: string | undefined;
  readonly carrier: 'quic' | 'tcp';
  /** How this session came to carry the call, once it does: new, attached, restored. */
  readonly how: string | undefined;
  readonly seconds: number;
  readonly rttMs: number;
  readonly packetsLost: number;
  readonly packetsSent: number;
  readonly pathChanges: number;
  readonly microphoneSeconds: number;
  readonly answerSeconds: number;
  readonly bargeIns: number;
  readonly upstreamsReplaced: number;
}

const SAMPLE_RATE = 24_000;

/** One session that carries a call. */
class ListedCall {
  readonly session: WebTransportSession;
  readonly id: string;
  readonly #subject: string | undefined;
  readonly #startedAt = performance.now();
  readonly #timings: CallTimings;
  #how: string | undefined;
  #microphoneSamples = 0;
  #answerSamples = 0;
  #bargeIns = 0;
  #upstreamsReplaced = 0;

  constructor(session: WebTransportSession, id: string, subject: string | undefined, timings: CallTimings) {
    this.session = session;
    this.id = id;
    this.#subject = subject;
    this.#timings = timings;
  }

  /** `all` is told what this session is told. */
  observer(all: VoiceObserver): VoiceObserver {
    return {
      ...all,
      callCarried: (how) => {
        if (this.#how === undefined) this.#timings.ready((performance.now() - this.#startedAt) / 1000);
        this.#how = how;
        all.callCarried?.(how);
      },
      microphoneSamples: (samples) => {
        this.#microphoneSamples += samples;
        all.microphoneSamples?.(samples);
      },
      answerSamples: (samples) => {
        this.#answerSamples += samples;
        all.answerSamples?.(samples);
      },
      bargeIn: () => {
        this.#bargeIns++;
        all.bargeIn?.();
      },
      upstreamReplaced: () => {
        this.#upstreamsReplaced++;
        all.upstreamReplaced?.();
      },
    };
  }

  summary(backend: string): CallSummary {
    const { request } = this.session;
    const stats = this.session.stats();
    const { host, port } = request.remoteAddress;
    return {
      session: this.id,
      backend,
      subject: this.#subject,
      remote: host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`,
      origin: request.origin,
      // Only QUIC counts its packets.
      carrier: stats.packetsSent > 0 ? 'quic' : 'tcp',
      how: this.#how,
      seconds: Math.round((performance.now() - this.#startedAt) / 1000),
      rttMs: Math.round(stats.smoothedRttMs * 10) / 10,
      packetsLost: stats.packetsLost,
      packetsSent: stats.packetsSent,
      pathChanges: stats.pathChanges,
      microphoneSeconds: Math.round(this.#microphoneSamples / SAMPLE_RATE),
      answerSeconds: Math.round(this.#answerSamples / SAMPLE_RATE),
      bargeIns: this.#bargeIns,
      upstreamsReplaced: this.#upstreamsReplaced,
    };
  }
}

/** What a session gets that is on the list. */
export interface Listed {
  readonly observer: VoiceObserver;
  /** The upstream, its times taken. */
  watch(upstream: Upstream): Upstream;
}

/** The calls that run, for operators. As many as there are sessions, which are bounded. */
export class CallList {
  readonly #calls = new Set<ListedCall>();
  readonly #backend: string;
  readonly #timings: CallTimings;

  constructor(backend: string, timings: CallTimings) {
    this.#backend = backend;
    this.#timings = timings;
  }

  /** Lists a session until it ends. `observer` is what is told of all sessions. */
  begin(
    session: WebTransportSession,
    id: string,
    subject: string | undefined,
    observer: VoiceObserver,
  ): Listed {
    const call = new ListedCall(session, id, subject, this.#timings);
    this.#calls.add(call);
    const end = () => {
      this.#calls.delete(call);
    };
    session.closed.then(end, end);
    return {
      observer: call.observer(observer),
      watch: (upstream) => new WatchedUpstream(upstream, this.#timings),
    };
  }

  /** The session that the page shows by this ID; `undefined` when none runs. */
  find(id: string): WebTransportSession | undefined {
    for (const call of this.#calls) if (call.id === id) return call.session;
    return undefined;
  }

  summaries(): CallSummary[] {
    return [...this.#calls].map((call) => call.summary(this.#backend));
  }
}
