import type { HowAttached } from '../../proto/voice/index.ts';
import type { VoiceObserver } from '../bridge/index.ts';
import type { Upstream } from '../realtime/upstream.ts';
import type { WebTransportSession } from '../webtransport/index.ts';
import type { CallTimings } from './timings.ts';
import { WatchedUpstream } from './watched-upstream.ts';

/** A call as operators see it: where it stands, and nothing of what is said. */
export interface CallSummary {
  /** The ID that the page shows, and that the log has: the same for the whole call, on whichever backend it is. */
  readonly session: string;
  readonly backend: string;
  /** Who calls, by the name that the log has for the subject; absent where no token is asked for. */
  readonly subject?: string | undefined;
  readonly remote: string;
  readonly origin: string | undefined;
  readonly carrier: 'quic' | 'tcp';
  /** How the session that carries the call came to it, once it does: new, attached, restored. */
  readonly how: HowAttached | undefined;
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

type CarriedBy = Parameters<NonNullable<VoiceObserver['callCarried']>>[1];

/** What is told of one call, with the session that carries it now. */
class ListedCall {
  /** That carries it, or is to; undefined once it is over: a call that waits must not keep that session's connection. */
  session: WebTransportSession | undefined;
  /** That of the session until it carries a call, then that of the call, which later sessions and other backends have too. */
  id: string;
  how: HowAttached | undefined;
  readonly startedAt = performance.now();
  readonly #subject: string | undefined;
  #microphoneSamples = 0;
  #answerSamples = 0;
  #bargeIns = 0;
  #upstreamsReplaced = 0;

  constructor(session: WebTransportSession, id: string, subject: string | undefined) {
    this.session = session;
    this.id = id;
    this.#subject = subject;
  }

  /** `all` is told what this call is told, and `carried` of each session that comes to carry it. */
  observer(all: VoiceObserver, carried: NonNullable<VoiceObserver['callCarried']>): VoiceObserver {
    return {
      ...all,
      callCarried: (how, by) => {
        carried(how, by);
        all.callCarried?.(how, by);
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

  summary(session: WebTransportSession, backend: string): CallSummary {
    const { request } = session;
    const stats = session.stats();
    const { host, port } = request.remoteAddress;
    return {
      session: this.id,
      backend,
      subject: this.#subject,
      remote: host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`,
      origin: request.origin,
      // Only QUIC counts its packets.
      carrier: stats.packetsSent > 0 ? 'quic' : 'tcp',
      how: this.how,
      seconds: Math.round((performance.now() - this.startedAt) / 1000),
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
  /** Of the call that the session begins or restores: it is told of that call until its end, whatever carries it then. */
  readonly observer: VoiceObserver;
  /** The upstream, its times taken. */
  watch(upstream: Upstream): Upstream;
}

/** The calls that run, for operators. As many as there are sessions, which are bounded. */
export class CallList {
  readonly #calls = new Map<WebTransportSession, ListedCall>();
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
    const call = new ListedCall(session, id, subject);
    this.#calls.set(session, call);
    this.#forgetAtEnd(session);
    return {
      observer: call.observer(observer, (how, by) => this.#carried(call, how, by)),
      watch: (upstream) => new WatchedUpstream(upstream, this.#timings),
    };
  }

  /** Apart from `begin`, whose closures live as long as the call and would keep the session. */
  #forgetAtEnd(session: WebTransportSession): void {
    const end = () => {
      const call = this.#calls.get(session);
      this.#calls.delete(session);
      if (call?.session === session) call.session = undefined;
    };
    session.closed.then(end, end);
  }

  /** A session carries the call: its own entry is the call's from now on. */
  #carried(call: ListedCall, how: HowAttached, { callId, session }: CarriedBy): void {
    const own = this.#calls.get(session);
    if (own !== undefined && own.how === undefined)
      this.#timings.ready((performance.now() - own.startedAt) / 1000);
    if (call.session !== undefined && call.session !== session) this.#calls.delete(call.session);
    call.session = session;
    call.id = callId;
    call.how = how;
    // One that ended meanwhile is not listed any more.
    if (own !== undefined) this.#calls.set(session, call);
  }

  /** The session that carries the call that the page shows by this ID; `undefined` when none runs. */
  find(id: string): WebTransportSession | undefined {
    for (const call of this.#calls.values()) if (call.id === id) return call.session;
    return undefined;
  }

  summaries(): CallSummary[] {
    return [...this.#calls].map(([session, call]) => call.summary(session, this.#backend));
  }
}
