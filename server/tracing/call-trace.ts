import type { Attributes, Context, Span, SpanOptions, Tracer } from '@opentelemetry/api';
import type { HowAttached } from '../../proto/voice/index.ts';
import type { VoiceObserver } from '../bridge/index.ts';
import type { Upstream } from '../realtime/upstream.ts';
import type { WebTransportSession } from '../webtransport/index.ts';
import { TracedUpstream } from './traced-upstream.ts';

/** What is used of OpenTelemetry's API. */
export type TracingApi = Pick<
  typeof import('@opentelemetry/api'),
  'trace' | 'ROOT_CONTEXT' | 'SpanKind' | 'SpanStatusCode'
>;

type CarriedBy = Parameters<NonNullable<VoiceObserver['callCarried']>>[1];
type CallEnd = Parameters<NonNullable<VoiceObserver['callEnded']>>[1];

/** Makes spans: `call`, and in it `attachment` (a session that carries it) and `upstream`, and in that `response`. */
export class Tracing {
  readonly api: TracingApi;
  readonly backend: string;
  readonly #tracer: Tracer;

  constructor(api: TracingApi, backend: string) {
    this.api = api;
    this.backend = backend;
    this.#tracer = api.trace.getTracer('parley-voice');
  }

  /** Begins a span below `parent`, or one of its own. */
  start(name: string, options: SpanOptions, parent?: Span): Span {
    const { ROOT_CONTEXT, trace } = this.api;
    const context: Context = parent === undefined ? ROOT_CONTEXT : trace.setSpan(ROOT_CONTEXT, parent);
    return this.#tracer.startSpan(name, options, context);
  }

  /** The span failed, with a short code as `error.type` (semantic conventions: low cardinality) and a sentence. */
  fail(span: Span, type: string, message: string): void {
    span.setAttribute('error.type', type);
    span.setStatus({ code: this.api.SpanStatusCode.ERROR, message });
  }

  /** A session is served. `upstream` are attributes of those that are dialled for it. */
  session(session: WebTransportSession, upstream: Attributes): SessionTrace {
    return new SessionTrace(this, session, upstream);
  }
}

/** What one session's call shows, from the session that it begins or is restored with to its end. */
export class SessionTrace {
  readonly #tracing: Tracing;
  readonly #upstream: Attributes;
  /** When the session that is carried next came, in ms since 1970. */
  readonly #startedAt = Date.now();
  /** Dialled before there was a call. */
  #early: TracedUpstream[] = [];
  #call: Span | undefined;
  #attachment: Span | undefined;
  #attachments = 0;

  constructor(tracing: Tracing, session: WebTransportSession, upstream: Attributes) {
    this.#tracing = tracing;
    this.#upstream = upstream;
    const forget = () => {
      if (this.#call === undefined) this.#early = [];
    };
    session.closed.then(forget, forget);
  }

  /** `all` is told what this call is told. */
  observer(all: VoiceObserver): VoiceObserver {
    return {
      ...all,
      callCarried: (how, by) => {
        this.#carried(how, by);
        all.callCarried?.(how, by);
      },
      callEnded: (callId, end) => {
        this.#ended(end);
        all.callEnded?.(callId, end);
      },
      bargeIn: () => {
        this.#call?.addEvent('barge-in');
        all.bargeIn?.();
      },
      upstreamReplaced: () => {
        this.#call?.addEvent('upstream replaced');
        all.upstreamReplaced?.();
      },
    };
  }

  /** The upstream, its life and its responses shown. */
  watch(upstream: Upstream): Upstream {
    const traced = new TracedUpstream(upstream, this.#tracing, this.#upstream);
    if (this.#call === undefined) this.#early.push(traced);
    else traced.begin(this.#call);
    return traced;
  }

  #carried(how: HowAttached, { callId, session }: CarriedBy): void {
    const { api, backend } = this.#tracing;
    const first = this.#call === undefined;
    const startTime = first ? this.#startedAt : Date.now();
    this.#call ??= this.#tracing.start('call', {
      kind: api.SpanKind.SERVER,
      startTime,
      attributes: { 'session.id': callId, 'parley.backend': backend, 'parley.call.how': how },
    });
    this.#attachment?.end();
    this.#attachments += 1;
    const attachment = this.#tracing.start(
      'attachment',
      { startTime, attributes: { ...carrierAttributes(session), ...this.#place(callId, how) } },
      this.#call,
    );
    this.#attachment = attachment;
    const over = () => {
      const { smoothedRttMs, packetsSent, packetsLost } = session.stats();
      attachment.setAttributes({
        'parley.quic.rtt_ms': Number.isFinite(smoothedRttMs) ? smoothedRttMs : 0,
        'parley.quic.packets_sent': packetsSent,
        'parley.quic.packets_lost': packetsLost,
      });
      attachment.end();
    };
    session.closed.then(over, over);
    for (const upstream of this.#early.splice(0)) upstream.begin(this.#call);
  }

  #place(callId: string, how: HowAttached): Attributes {
    return {
      'session.id': callId,
      'parley.attachment.how': how,
      'parley.attachment.number': this.#attachments,
    };
  }

  #ended({ closeCode, reason, error }: CallEnd): void {
    const call = this.#call;
    if (call === undefined) return;
    call.setAttributes({
      'parley.call.close_code': closeCode,
      'parley.call.reason': reason,
      'parley.call.attachments': this.#attachments,
    });
    if (error !== undefined) this.#tracing.fail(call, error, reason);
    call.end();
  }
}

function carrierAttributes(session: WebTransportSession): Attributes {
  const { host, port } = session.request.remoteAddress;
  // Only QUIC counts its packets.
  const quic = session.stats().packetsSent > 0;
  return {
    'client.address': host,
    'client.port': port,
    'network.transport': quic ? 'quic' : 'tcp',
    'network.protocol.name': 'webtransport',
  };
}
