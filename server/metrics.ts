import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { logLinesDropped } from '../net/log.ts';
import { readCounter } from '../net/metrics.ts';
import type { QuicEndpoint } from '../proto/quic/index.ts';
import type { VoiceObserver } from './bridge/index.ts';
import type { PacketSocket } from './net/index.ts';

/** From what nothing hinders to what is of no use any more. */
const DELAY_BUCKETS_S = [0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1, 2, 5, 10, 30];

/** What operators see of a backend. */
export class BackendMetrics {
  readonly registry = new Registry();
  readonly sessions: Gauge;
  readonly sessionsTotal: Counter<'outcome'>;
  readonly pathChanges: Counter;
  readonly forwarderChanges: Counter;
  readonly idleConnectionsClosed: Counter<'reason'>;
  readonly tokenRefusals: Counter<'reason'>;
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
    this.idleConnectionsClosed = new Counter({
      name: 'parley_idle_connections_closed_total',
      help: 'Connections without a session that were closed, by reason: no-request, idle, address-full, backend-full',
      labelNames: ['reason'],
      registers,
    });
    this.tokenRefusals = new Counter({
      name: 'parley_token_refusals_total',
      help: 'Calls that were refused for their token or the limits of its subject, by reason',
      labelNames: ['reason'],
      registers,
    });
    this.voice = this.#voiceMetrics();
    this.#endpointMetrics(endpoint, sockets);
    readCounter(
      registry,
      'parley_log_lines_dropped_total',
      'Log lines that standard output did not take',
      [],
      () => [[{}, logLinesDropped()]],
    );
    new Gauge({
      name: 'parley_certificate_not_after_timestamp_seconds',
      help: 'When the certificate that is presented ends, in seconds since 1970',
      registers,
      collect() {
        this.set(certificateNotAfterEpochMs() / 1000);
      },
    });
    // Draft §9.6 of QUIC-LB: an operator should see in good time that a configuration is nearly used up.
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
    const hookFailures = new Counter({
      name: 'parley_hook_failures_total',
      help: "Times that a hook of the app's own code failed, by hook and by how: threw, late, nonsense",
      labelNames: ['hook', 'fault'],
      registers: [this.registry],
    });
    const overflows = counter(
      'parley_answers_overflowed_total',
      'Answers cut because more of them waited for a slow page than may',
    );
    const refused = counter('parley_page_events_refused_total', 'Events of pages that were refused');
    const carried = new Counter({
      name: 'parley_calls_carried_total',
      help: 'Sessions that came to carry a call, by how: new, attached (the call was here), restored (from a checkpoint)',
      labelNames: ['how'],
      registers: [this.registry],
    });
    const resumeRefused = new Counter({
      name: 'parley_resumes_refused_total',
      help: 'Pages that could not go on with their call, by what was refused (ticket, checkpoint, call) and why',
      labelNames: ['what', 'why'],
      registers: [this.registry],
    });
    const replaced = counter(
      'parley_upstreams_replaced_total',
      'Times that a call went on with a fresh upstream',
    );
    const waiting = new Gauge({
      name: 'parley_calls_waiting',
      help: 'Calls without a session that wait for their page',
      registers: [this.registry],
    });
    return {
      hookFailed: (hook, fault) => hookFailures.inc({ hook, fault }),
      ...this.#helloMetrics(),
      ...this.#uplinkMetrics(),
      callCarried: (how) => carried.inc({ how }),
      resumeRefused: (what, why) => resumeRefused.inc({ what, why }),
      upstreamReplaced: () => replaced.inc(),
      callsWaiting: (calls) => waiting.set(calls),
      upstreamEventDropped: (kind = 'other') => droppedEvents.inc({ kind }),
      microphoneSamples: (samples) => microphone.inc(samples),
      answerSamples: (samples) => answer.inc(samples),
      answerSamplesDropped: (samples) => dropped.inc(samples),
      bargeIn: () => bargeIns.inc(),
      answerOverflowed: () => overflows.inc(),
      pageEventRefused: () => refused.inc(),
    };
  }

  #helloMetrics(): Pick<VoiceObserver, 'helloMissing' | 'notEarly'> {
    const noHello = new Counter({
      name: 'parley_sessions_without_hello_total',
      help: 'Sessions that were closed because no hello came in time, by whether an upstream had been dialled for them',
      labelNames: ['dialled'],
      registers: [this.registry],
    });
    const notEarly = new Counter({
      name: 'parley_upstreams_not_early_total',
      help: 'Upstreams that were not dialled before the hello: too many were, of the address or in total, or the caller may begin no call',
      labelNames: ['why'],
      registers: [this.registry],
    });
    return {
      helloMissing: (dialled) => noHello.inc({ dialled: dialled ? 'yes' : 'no' }),
      notEarly: (why) => notEarly.inc({ why }),
    };
  }

  #uplinkMetrics(): Pick<VoiceObserver, 'microphoneDelay' | 'codecSwitched' | 'answerCodecSwitched'> {
    const delay = new Histogram({
      name: 'parley_microphone_delay_seconds',
      help: 'How late microphone audio goes to the upstream, from when the page took it: one observation for each append of 40 to 100 ms',
      buckets: DELAY_BUCKETS_S,
      registers: [this.registry],
    });
    const switches = new Counter({
      name: 'parley_codec_switches_total',
      help: 'Times that the microphone of a call came in another codec from then on, by that codec',
      labelNames: ['codec'],
      registers: [this.registry],
    });
    const answerSwitches = new Counter({
      name: 'parley_answer_codec_switches_total',
      help: 'Times that a page asked for its answers in another codec, by that codec',
      labelNames: ['codec'],
      registers: [this.registry],
    });
    return {
      answerCodecSwitched: (codec) => answerSwitches.inc({ codec }),
      microphoneDelay: (delayMs) => delay.observe(delayMs / 1000),
      codecSwitched: (codec) => switches.inc({ codec }),
    };
  }

  #endpointMetrics(endpoint: QuicEndpoint, sockets: readonly PacketSocket[]): void {
    const registers = [this.registry];
    const stats = () => endpoint.stats();
    const gauge = (name: string, help: string, read: () => number) =>
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(read());
        },
      });
    gauge('parley_quic_connections', 'QUIC connections', () => stats().connections);
    gauge('parley_quic_half_open', 'QUIC handshakes in progress', () => stats().halfOpen);
    const total = (name: string, help: string, read: () => number) =>
      readCounter(this.registry, name, help, [], () => [[{}, read()]]);
    total('parley_quic_datagrams_received_total', 'UDP payloads received', () => stats().datagramsReceived);
    total('parley_quic_datagrams_sent_total', 'UDP payloads sent', () => stats().datagramsSent);
    total(
      'parley_datagrams_past_forwarder_total',
      'UDP payloads sent to clients from the address that they had called at a forwarder, past it (`directServerReturn`)',
      () => sockets.reduce((sum, { sentPastForwarder = 0 }) => sum + sentPastForwarder, 0),
    );
    total(
      'parley_quic_connections_accepted_total',
      'QUIC connections accepted',
      () => stats().connectionsAccepted,
    );
    total(
      'parley_quic_version_negotiations_sent_total',
      'Version Negotiation packets sent, those that answer the probes of forwarders among them',
      () => stats().versionNegotiationsSent,
    );
    total('parley_quic_retries_sent_total', 'Retry packets sent', () => stats().retriesSent);
    total(
      'parley_quic_steered_retries_sent_total',
      'Retry packets that sent a caller to the backend it asked for by name',
      () => stats().steeredRetriesSent,
    );
    total(
      'parley_quic_steered_accepted_total',
      'QUIC connections accepted after a Retry that sent the caller to the backend it asked for',
      () => stats().steeredAccepted,
    );
    total(
      'parley_quic_peeks_dropped_total',
      'Callers whose server name was not read: a part of it did not come in time, or too many were being read',
      () => stats().peeksDropped,
    );
    total(
      'parley_quic_stateless_resets_sent_total',
      'Stateless Resets sent',
      () => stats().statelessResetsSent,
    );
    readCounter(
      this.registry,
      'parley_dropped_packets_total',
      'Datagrams and packets dropped, by reason',
      ['reason'],
      function* () {
        // Two sockets may drop for the same reason: the counts add up.
        for (const dropped of [stats().dropped, ...sockets.map((socket) => socket.dropped)])
          for (const [reason, count] of Object.entries(dropped)) yield [{ reason }, count];
      },
    );
  }
}

/** How a backend follows the cluster file. */
export function addClusterMetrics(
  registry: Registry,
  cluster: { readonly reloads: number; readonly reloadFaults: number; readonly nameSilences: number },
  move: { readonly left: number },
): void {
  const total = (name: string, help: string, read: () => number) =>
    readCounter(registry, name, help, [], () => [[{}, read()]]);
  total('parley_cluster_reloads_total', 'Cluster files taken up while running', () => cluster.reloads);
  total(
    'parley_cluster_reload_faults_total',
    'Cluster files refused while running',
    () => cluster.reloadFaults,
  );
  total(
    'parley_name_silences_total',
    'Times that a host name of the cluster file had no address; what it had stays',
    () => cluster.nameSilences,
  );
  new Gauge({
    name: 'parley_connections_to_move',
    help: 'Connections that are still to be given CIDs of a new QUIC-LB configuration',
    registers: [registry],
    collect() {
      this.set(move.left);
    },
  });
}
