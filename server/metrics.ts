import { createServer, type Server } from 'node:http';
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { Address, QuicEndpoint } from '../proto/quic/index.ts';
import { formatAddress } from '../proto/quic/index.ts';
import type { VoiceObserver } from './bridge/index.ts';
import { StartupError } from './errors.ts';
import type { PacketSocket } from './net/index.ts';

/** What operators see of a backend. */
export class BackendMetrics {
  readonly registry = new Registry();
  readonly sessions: Gauge;
  readonly sessionsTotal: Counter<'outcome'>;
  readonly pathChanges: Counter;
  readonly forwarderChanges: Counter;
  /** Counts what voice sessions carry. */
  readonly voice: VoiceObserver;

  constructor(
    endpoint: QuicEndpoint,
    sockets: readonly PacketSocket[],
    certificateNotAfterEpochMs: () => number,
    connectionIdNoncesUsed: () => number,
  ) {
    const { registry } = this;
    collectDefaultMetrics({ register: registry });
    const registers = [registry];
    this.sessions = new Gauge({
      name: 'parley_sessions',
      help: 'WebTransport sessions that are open',
      registers,
    });
    this.sessionsTotal = new Counter({
      name: 'parley_sessions_total',
      help: 'WebTransport sessions asked for, by what became of the request',
      labelNames: ['outcome'],
      registers,
    });
    this.pathChanges = new Counter({
      name: 'parley_path_changes_total',
      help: 'Client addresses that changed',
      registers,
    });
    this.forwarderChanges = new Counter({
      name: 'parley_forwarder_changes_total',
      help: 'Connections whose packets came to take another forwarder',
      registers,
    });
    this.voice = this.#voiceMetrics();
    this.#endpointMetrics(endpoint, sockets);
    new Gauge({
      name: 'parley_certificate_not_after_seconds',
      help: 'When the certificate that is presented ends, in seconds since 1970',
      registers,
      collect() {
        this.set(certificateNotAfterEpochMs() / 1000);
      },
    });
    // Draft §9.6 of QUIC-LB: who hands out configurations should see in good time that one wears out.
    new Gauge({
      name: 'parley_quic_lb_nonces_used_ratio',
      help: 'Share of the nonces of the CID key that this process has used; at 1 its CIDs are unroutable',
      registers,
      collect() {
        this.set(connectionIdNoncesUsed());
      },
    });
  }

  #voiceMetrics(): VoiceObserver {
    const counter = (name: string, help: string) => new Counter({ name, help, registers: [this.registry] });
    const microphone = counter('parley_microphone_samples_total', 'Samples received from callers');
    const answer = counter('parley_answer_samples_total', 'Samples of answers sent to callers');
    const dropped = counter(
      'parley_answer_samples_dropped_total',
      'Samples of answers that were cut before they were sent',
    );
    const bargeIns = counter('parley_barge_ins_total', 'Times a caller spoke over an answer');
    const droppedEvents = new Counter({
      name: 'parley_upstream_events_dropped_total',
      help: 'Events of the Realtime API that were left out because no page could take them, by what was wrong',
      labelNames: ['kind'],
      registers: [this.registry],
    });
    const overflows = counter(
      'parley_answers_overflowed_total',
      'Answers cut because more of them waited for a slow page than may',
    );
    const refused = counter('parley_page_events_refused_total', 'Events of pages that were refused');
    return {
      upstreamEventDropped: (kind = 'other') => droppedEvents.inc({ kind }),
      microphoneSamples: (samples) => microphone.inc(samples),
      answerSamples: (samples) => answer.inc(samples),
      answerSamplesDropped: (samples) => dropped.inc(samples),
      bargeIn: () => bargeIns.inc(),
      answerOverflowed: () => overflows.inc(),
      pageEventRefused: () => refused.inc(),
    };
  }

  #endpointMetrics(endpoint: QuicEndpoint, sockets: readonly PacketSocket[]): void {
    const registers = [this.registry];
    const gauge = (name: string, help: string, read: () => number) =>
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read());
        },
      });
    gauge('parley_quic_connections', 'QUIC connections', () => endpoint.stats().connections);
    gauge('parley_quic_half_open', 'QUIC handshakes in progress', () => endpoint.stats().halfOpen);
    gauge(
      'parley_quic_datagrams_received',
      'UDP payloads received',
      () => endpoint.stats().datagramsReceived,
    );
    gauge('parley_quic_datagrams_sent', 'UDP payloads sent', () => endpoint.stats().datagramsSent);
    gauge(
      'parley_quic_connections_accepted',
      'QUIC connections taken since the start',
      () => endpoint.stats().connectionsAccepted,
    );
    gauge(
      'parley_quic_version_negotiations_sent',
      'Version Negotiation packets sent, probes of forwarders among them',
      () => endpoint.stats().versionNegotiationsSent,
    );
    gauge('parley_quic_retries_sent', 'Retry packets sent', () => endpoint.stats().retriesSent);
    gauge(
      'parley_quic_stateless_resets_sent',
      'Stateless Resets sent',
      () => endpoint.stats().statelessResetsSent,
    );
    new Gauge({
      name: 'parley_dropped',
      help: 'Datagrams and packets dropped, by reason',
      labelNames: ['reason'],
      registers,
      collect() {
        this.reset();
        // Two sockets may drop for the same reason: the counts add up.
        for (const dropped of [endpoint.stats().dropped, ...sockets.map((socket) => socket.dropped)])
          for (const [reason, count] of Object.entries(dropped)) this.inc({ reason }, count);
      },
    });
  }
}

/** Serves /metrics and /healthz over HTTP for operators. Throws `StartupError` when the port is in use. */
export async function serveMetrics(
  address: Address,
  metrics: BackendMetrics,
  health: () => string,
): Promise<Server> {
  const server = createServer((request, response) => {
    if (request.url === '/healthz') {
      response.setHeader('content-type', 'application/json').end(health());
    } else if (request.url === '/metrics') {
      void metrics.registry.metrics().then(
        (text) => response.setHeader('content-type', metrics.registry.contentType).end(text),
        () => response.writeHead(500).end(),
      );
    } else response.writeHead(404).end();
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(new StartupError(`metrics: cannot listen on tcp ${formatAddress(address)}: ${error.message}.`)),
    );
    server.listen(address.port, address.host, resolve);
  });
  return server;
}
