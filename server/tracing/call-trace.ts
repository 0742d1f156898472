import type { Attributes, Span } from '@opentelemetry/api';
import type { HowAttached } from '../../proto/voice/index.ts';
import type { VoiceObserver } from '../bridge/index.ts';
import type { Upstream } from '../realtime/upstream.ts';
import type { WebTransportSession } from '../webtransport/index.ts';
import type { Spans } from './spans.ts';
import { TracedUpstream } from './traced-upstream.ts';

type CarriedBy = Parameters<NonNullable<VoiceObserver['callCarried']>>[1];
type CallEnd = Parameters<NonNullable<VoiceObserver['callEnded']>>[1];

/** Shows calls: `call`, and in it `attachment` (a session that carries it) and `upstream`, and in that `response`. */
export class Tracing {
  readonly #spans: Spans;

  constructor(spans: Spans) {
    this.#spans = spans;
  }

  /** A session is served. `upstream` are attributes of those that are dialled for it. */
  session(session: WebTransportSession, upstream: Attributes): SessionTrace {
    return new SessionTrace(this.#spans, session, upstream);
  }
}

/** What one session's call shows, from the session that it begins or is restored with to its end. */
class SessionTrace {
  readonly #spans: Spans;
  readonly #upstream: Attributes;
  /** When the session that is carried next came, in ms since 1970. */
  readonly #startedAt = Date.now();
  /** Dialled before there was a call. */
  #early: TracedUpstream[] = [];
  #call: Span | undefined;
  #attachment: Span | undefined;
  #attachments = 0;

  constructor(spans: Spans, session: WebTransportSession, upstream: Attributes) {
    this.#spans = spans;
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
    const traced = new TracedUpstream(upstream, this.#spans, this.#upstream);
    if (this.#call === undefined) this.#early.push(traced);
    else traced.begin(this.#call);
    return traced;
  }

  #carried(how: HowAttached, { callId, session }: CarriedBy): void {
    const { api, backend } = this.#spans;
    const first = this.#call === undefined;
    const startTime = first ? this.#startedAt : Date.now();
    this.#call ??= this.#spans.start('call', {
      kind: api.SpanKind.SERVER,
      startTime,
      attributes: { 'session.id': callId, 'parley.backend': backend, 'parley.began': how },
    });
    this.#attachment?.end();
    this.#attachments += 1;
    const attachment = this.#spans.start(
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
      'parley.close_code': closeCode,
      'parley.reason': reason,
      'parley.attachments': this.#attachments,
    });
    if (error !== undefined) this.#spans.fail(call, error, reason);
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
