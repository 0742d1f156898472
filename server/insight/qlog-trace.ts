import type {
  CloseReason,
  DropReason,
  Frame,
  ObservedConnection,
  Path,
  QuicObserver,
  RecoveryFigures,
  SpaceName,
  TransportParameters,
} from '../../proto/quic/index.ts';
import { toHex } from '../../proto/wire/index.ts';
import { qlogFrame } from './qlog-frames.ts';

/** What every record of a JSON text sequence begins with (RFC 7464 §2.2). */
const RECORD_SEPARATOR = '\u001e';
const DEFAULT_ACK_DELAY_EXPONENT = 3;
const PACKET_TYPES = { initial: 'initial', handshake: 'handshake', application: '1RTT' } as const;

/** Why we drop, in qlog's words where it has one. */
const TRIGGERS: Partial<Record<DropReason, string>> = {
  'keys-unavailable': 'key_unavailable',
  'keys-discarded': 'key_unavailable',
  'unknown-connection': 'unknown_connection_id',
  'wrong-connection-id': 'unknown_connection_id',
  'malformed-header': 'header_parse_error',
  'too-short': 'header_parse_error',
  'unsupported-version': 'unsupported_version',
  undecryptable: 'payload_decrypt_error',
  duplicate: 'duplicate',
  'buffer-full': 'dos_prevention',
  limit: 'dos_prevention',
};

/** Takes one record, a whole line; `last` is true for the one that ends the trace. */
export type RecordSink = (record: string, last: boolean) => void;

const addressOf = (path: Path) => ({
  src_ip: path.local.host,
  src_port: path.local.port,
  dst_ip: path.remote.host,
  dst_port: path.remote.port,
});

/**
 * Writes what one connection does as qlog, version 0.3 in its JSON-SEQ form: what qvis (qvis.quictools.info) opens.
 * Times are milliseconds since the start of the connection. Keys, tokens and content stay out of it.
 */
export class QlogTrace implements QuicObserver {
  readonly wantsFrames = true;
  readonly #sink: RecordSink;
  readonly #startedAt: number;
  readonly #ackDelayExponent = { local: DEFAULT_ACK_DELAY_EXPONENT, remote: DEFAULT_ACK_DELAY_EXPONENT };
  #metrics: Record<string, number> = {};
  #lastMs = 0;

  /** `wallClockEpochMs` is the time of day at `now`. */
  constructor(connection: ObservedConnection, now: number, wallClockEpochMs: number, sink: RecordSink) {
    this.#sink = sink;
    this.#startedAt = now;
    const id = toHex(connection.originalDestination);
    const title = `Parley ${connection.role} ${id}`;
    this.#record({
      qlog_format: 'JSON-SEQ',
      qlog_version: '0.3',
      title,
      trace: {
        title,
        vantage_point: { name: 'parley', type: connection.role },
        common_fields: {
          ODCID: id,
          group_id: id,
          protocol_type: ['QUIC', 'HTTP3'],
          time_format: 'relative',
          reference_time: wallClockEpochMs,
        },
      },
    });
    this.#event('connectivity:connection_started', addressOf(connection.path), now);
  }

  packetSent(
    space: SpaceName,
    packetNumber: number,
    octets: number,
    _path: Path,
    now: number,
    frames?: readonly Frame[],
  ): void {
    this.#packet('transport:packet_sent', space, packetNumber, octets, now, frames, 'local');
  }

  packetReceived(
    space: SpaceName,
    packetNumber: number,
    octets: number,
    _path: Path,
    now: number,
    frames?: readonly Frame[],
  ): void {
    this.#packet('transport:packet_received', space, packetNumber, octets, now, frames, 'remote');
  }

  #packet(
    name: string,
    space: SpaceName,
    packetNumber: number,
    octets: number,
    now: number,
    frames: readonly Frame[] = [],
    sender: 'local' | 'remote',
  ): void {
    const exponent = space === 'application' ? this.#ackDelayExponent[sender] : DEFAULT_ACK_DELAY_EXPONENT;
    const header = { packet_type: PACKET_TYPES[space], packet_number: packetNumber };
    const data = {
      header,
      raw: { length: octets },
      frames: frames.map((frame) => qlogFrame(frame, exponent)),
    };
    this.#event(name, data, now);
  }

  packetDropped(reason: DropReason, octets: number, now: number): void {
    const trigger = TRIGGERS[reason] ?? reason.replaceAll('-', '_');
    this.#event('transport:packet_dropped', { raw: { length: octets }, trigger }, now);
  }

  packetLost(space: SpaceName, packetNumber: number, octets: number, now: number): void {
    const header = { packet_type: PACKET_TYPES[space], packet_number: packetNumber };
    this.#event('recovery:packet_lost', { header, raw: { length: octets } }, now);
  }

  /** Only what changed since the last time is written. */
  metricsUpdated(figures: RecoveryFigures, now: number): void {
    const { rtt } = figures;
    const threshold = figures.slowStartThresholdOctets;
    const all: Record<string, number> = {
      min_rtt: rtt.minMs,
      smoothed_rtt: rtt.smoothedMs,
      latest_rtt: rtt.latestMs,
      rtt_variance: rtt.varMs,
      congestion_window: figures.congestionWindowOctets,
      bytes_in_flight: figures.bytesInFlight,
      pto_count: figures.ptoCount,
      // JSON has no infinity: without a congestion event there is no threshold.
      ...(Number.isFinite(threshold) && { ssthresh: Math.floor(threshold) }),
    };
    const changed = Object.entries(all).filter(([key, value]) => this.#metrics[key] !== value);
    this.#metrics = all;
    if (changed.length > 0) this.#event('recovery:metrics_updated', Object.fromEntries(changed), now);
  }

  parametersSet(owner: 'local' | 'remote', parameters: Partial<TransportParameters>, now: number): void {
    this.#ackDelayExponent[owner] = parameters.ackDelayExponent ?? DEFAULT_ACK_DELAY_EXPONENT;
    const data: Record<string, unknown> = { owner };
    for (const [key, value] of Object.entries(parameters)) {
      if (key === 'statelessResetToken' || key === 'preferredAddress' || value === undefined) continue;
      const name = key.replace(/Ms$/, '').replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      data[name] = value instanceof Uint8Array ? toHex(value) : value;
    }
    this.#event('transport:parameters_set', data, now);
  }

  pathChanged(path: Path, previous: Path, validated: boolean, now: number): void {
    const data = { path_old: addressOf(previous), path_new: addressOf(path), validated };
    this.#event('connectivity:path_updated', data, now);
  }

  closed(reason: CloseReason, now: number): void {
    this.#event('connectivity:connection_closed', closeData(reason), now, true);
  }

  #event(name: string, data: object, now: number, last = false): void {
    // A close by the owner is only known to come after what came in last. qvis wants times in order, and stops at any other.
    this.#lastMs = Math.max(this.#lastMs, now - this.#startedAt);
    // Microseconds are as fine as clocks get, and shorter than 15 digits.
    this.#record({ time: Math.round(this.#lastMs * 1000) / 1000, name, data }, last);
  }

  #record(value: object, last = false): void {
    this.#sink(`${RECORD_SEPARATOR}${JSON.stringify(value)}\n`, last);
  }
}

function closeData(reason: CloseReason): object {
  switch (reason.kind) {
    case 'transport':
    case 'application': {
      const owner = reason.by === 'local' ? 'local' : 'remote';
      const code =
        reason.kind === 'transport' ? { connection_code: reason.code } : { application_code: reason.code };
      return { owner, ...code, reason: reason.reason, trigger: reason.code === 0 ? 'clean' : 'error' };
    }
    case 'stateless-reset':
      return { owner: 'remote', trigger: 'stateless_reset' };
    case 'version-mismatch':
      return { owner: 'remote', trigger: 'version_mismatch' };
    default:
      return { owner: 'local', trigger: reason.kind.replaceAll('-', '_') };
  }
}
