import { Histogram, type Registry } from 'prom-client';
import type { QuicStats } from '../../proto/quic/index.ts';

/** How often the event loop's lag is measured, in ms. */
const LAG_INTERVAL_MS = 250;

/** Upper bounds of waits that a person notices, in seconds. */
const WAITS = [0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10];
const ROUND_TRIPS = [0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1, 2];
const OUTAGES = [0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60, 120];
const LAGS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5];
const SHARES = [0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4];

/** How long callers wait for what, as histograms of seconds. */
export class CallTimings {
  readonly #handshake: Histogram;
  readonly #ready: Histogram;
  readonly #firstAudio: Histogram;
  readonly #silent: Histogram;
  readonly #outage: Histogram;
  readonly #rtt: Histogram;
  readonly #loss: Histogram;
  readonly #lag: Histogram;
  #lagTimer: NodeJS.Timeout | undefined;

  constructor(registry: Registry) {
    const histogram = (name: string, help: string, buckets: number[]) =>
      new Histogram({ name, help, buckets, registers: [registry] });
    this.#handshake = histogram(
      'parley_quic_handshake_seconds',
      'Time that QUIC handshakes took, from the first packet of the client on',
      ROUND_TRIPS,
    );
    this.#ready = histogram(
      'parley_ready_seconds',
      'Time from a session to its carrying a call: the hello of the page, or what it resumes with',
      WAITS,
    );
    this.#firstAudio = histogram(
      'parley_first_audio_seconds',
      "Time from the end of a caller's turn, as the upstream hears it, to the first audio of the answer",
      WAITS,
    );
    this.#silent = histogram(
      'parley_barge_in_silence_seconds',
      'Time from speech over an answer, as the upstream hears it, to the word of the page that it has stopped playing',
      WAITS,
    );
    this.#outage = histogram(
      'parley_outage_seconds',
      'Time that calls waited for their page to come back, of those whose page did',
      OUTAGES,
    );
    this.#rtt = histogram(
      'parley_quic_round_trip_seconds',
      'Smoothed round trip of connections at their end',
      ROUND_TRIPS,
    );
    this.#loss = histogram(
      'parley_quic_packet_loss_ratio',
      'Share of the packets sent that was lost, of connections at their end',
      SHARES,
    );
    this.#lag = histogram(
      'parley_event_loop_lag_seconds',
      'How late the event loop comes to a timer: all that a backend does waits as long',
      LAGS,
    );
  }

  ready(seconds: number): void {
    this.#ready.observe(seconds);
  }

  firstAudio(seconds: number): void {
    this.#firstAudio.observe(seconds);
  }

  silent(seconds: number): void {
    this.#silent.observe(seconds);
  }

  outage(seconds: number): void {
    this.#outage.observe(seconds);
  }

  /** A QUIC connection has ended with these figures. */
  connectionEnded({ handshakeMs, smoothedRttMs, packetsSent, packetsLost }: QuicStats): void {
    // A handshake that was never done has no figures worth a place.
    if (handshakeMs === undefined) return;
    this.#handshake.observe(handshakeMs / 1000);
    this.#rtt.observe(smoothedRttMs / 1000);
    if (packetsSent > 0) this.#loss.observe(packetsLost / packetsSent);
  }

  /** Measures the event loop from now on. */
  start(): void {
    let dueAt = performance.now() + LAG_INTERVAL_MS;
    this.#lagTimer ??= setInterval(() => {
      const now = performance.now();
      this.#lag.observe(Math.max(0, now - dueAt) / 1000);
      dueAt = now + LAG_INTERVAL_MS;
    }, LAG_INTERVAL_MS).unref();
  }

  stop(): void {
    clearInterval(this.#lagTimer);
    this.#lagTimer = undefined;
  }
}
