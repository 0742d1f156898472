import type { QuicTransport } from '../quic/index.ts';
import { LazyMap } from '../wire/index.ts';
import { ControlStream, type ControlStreamEvents } from './control-stream.ts';
import { Http3Error, Http3ErrorCode } from './errors.ts';
import { ENDED, PENDING, VarintIntake } from './intake.ts';
import { DecoderStreamReader, QpackDecoder } from './qpack/index.ts';

/** Types of unidirectional streams (RFC 9114 §6.2, RFC 9204 §4.2). */
export const StreamType = { CONTROL: 0x00, PUSH: 0x01, QPACK_ENCODER: 0x02, QPACK_DECODER: 0x03 } as const;

/** Octets taken from a stream at a time. */
const READ_OCTETS = 4096;

export interface UniStreamEvents extends ControlStreamEvents {
  onSignalStream(streamId: number, finished: boolean): void;
}

/** The streams that must stay open as long as the connection (RFC 9114 §6.2.1, RFC 9204 §4.2). */
interface CriticalReader {
  octets(data: Uint8Array): void;
}

interface CriticalStream {
  readonly streamId: number;
  readonly type: number;
  readonly reader: CriticalReader;
}

/** Reads the unidirectional streams that the peer opens. Throws `Http3Error`. */
export class UniStreams {
  readonly #quic: QuicTransport;
  readonly #signalType: number | undefined;
  readonly #events: UniStreamEvents;
  /** What `ControlStream` is told of the extension's frames. */
  readonly #signalFrame: number | undefined;
  readonly #intakes = new LazyMap<number, VarintIntake>();
  /** Critical streams that have come: one of each type, three at most. */
  readonly #critical: CriticalStream[] = [];

  constructor(
    quic: QuicTransport,
    signals: { readonly bidirectional: number; readonly unidirectional: number } | undefined,
    events: UniStreamEvents,
  ) {
    this.#quic = quic;
    this.#signalType = signals?.unidirectional;
    this.#signalFrame = signals?.bidirectional;
    this.#events = events;
  }

  #readerOf(type: number): CriticalReader | undefined {
    switch (type) {
      case StreamType.CONTROL:
        return new ControlStream(this.#quic.role === 'server', this.#signalFrame, this.#events);
      case StreamType.QPACK_ENCODER: {
        const encoder = new QpackDecoder(0);
        return { octets: (data) => encoder.encoderOctets(data) };
      }
      case StreamType.QPACK_DECODER:
        return new DecoderStreamReader();
      default:
        return undefined;
    }
  }

  #criticalOf(streamId: number): CriticalReader | undefined {
    for (const critical of this.#critical) if (critical.streamId === streamId) return critical.reader;
    return undefined;
  }

  opened(streamId: number): void {
    this.#intakes.set(streamId, new VarintIntake());
  }

  readable(streamId: number): void {
    const intake = this.#intakes.get(streamId);
    if (intake !== undefined) this.#type(streamId, intake);
    const reader = this.#criticalOf(streamId);
    if (reader === undefined) return;
    for (;;) {
      const chunk = this.#quic.readStream(streamId, READ_OCTETS);
      if (chunk === undefined) return;
      reader.octets(chunk.data);
      if (chunk.fin) throw closedCritical();
    }
  }

  #type(streamId: number, intake: VarintIntake): void {
    const type = intake.take(this.#quic, streamId);
    if (type === PENDING) return;
    this.#intakes.delete(streamId);
    // RFC 9114 §6.2: a stream may end before its type.
    if (type === ENDED) return;
    if (type === this.#signalType) {
      this.#events.onSignalStream(streamId, intake.finished);
      return;
    }
    const reader = this.#readerOf(type);
    if (reader === undefined) {
      this.#refuse(streamId, type, intake.finished);
      return;
    }
    if (this.#critical.some((other) => other.type === type))
      throw new Http3Error(Http3ErrorCode.H3_STREAM_CREATION_ERROR, `a second stream of type ${type}`);
    if (intake.finished) throw closedCritical();
    this.#critical.push({ streamId, type, reader });
  }

  #refuse(streamId: number, type: number, finished: boolean): void {
    if (type === StreamType.PUSH) {
      // RFC 9114 §6.2.2 and §4.6: clients cannot push, and we as client allow no push.
      if (this.#quic.role === 'server')
        throw new Http3Error(Http3ErrorCode.H3_STREAM_CREATION_ERROR, 'a client opened a push stream');
      throw new Http3Error(Http3ErrorCode.H3_ID_ERROR, 'a push without MAX_PUSH_ID');
    }
    // RFC 9114 §6.2: an unknown type is no error of the connection.
    if (!finished) this.#quic.stopSending(streamId, Http3ErrorCode.H3_STREAM_CREATION_ERROR);
  }

  reset(streamId: number): void {
    this.#intakes.delete(streamId);
    if (this.#criticalOf(streamId) !== undefined) throw closedCritical();
  }
}

function closedCritical(): Http3Error {
  return new Http3Error(Http3ErrorCode.H3_CLOSED_CRITICAL_STREAM, 'the peer closed a critical stream');
}
