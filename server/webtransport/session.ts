import { ReadableStream, type ReadableStreamDefaultController, WritableStream } from 'node:stream/web';
import type { QuicStats, QuicTransport, StreamDirection } from '../../proto/quic/index.ts';
import type { UnreadStream } from '../../proto/webtransport/index.ts';
import { IncomingStreams } from './incoming.ts';
import { type StreamOwner, StreamReader, StreamWriter } from './streams.ts';
import {
  type BidirectionalStream,
  type CloseInfo,
  type NetworkChange,
  type SendStream,
  type SessionRequest,
  StreamError,
  type WebTransportSession,
} from './types.ts';

/** What datagrams that wait for a slow reader may cost, in octets; newer ones are dropped, as UDP would. */
const DATAGRAM_QUEUE_OCTETS = 256 * 1024;
/** What each of them costs at least, in octets: a queue of empty ones is bounded too. */
const DATAGRAM_COST_OCTETS = 1024;
/** What may wait until datagrams are asked for the first time, in octets of the same reckoning. */
const EARLY_DATAGRAM_OCTETS = 64 * 1024;

/** Tells the client at once that a stream is not taken, instead of letting it fill its window. */
const NO_READER = new StreamError(0, 'no reader');
/** The client had ended the stream already: there is nothing to turn away. */
const isOver = () => {};

interface Waiting {
  readonly direction: StreamDirection;
  readonly resolve: (streamId: number) => void;
  readonly reject: (error: Error) => void;
}

/** A bidirectional stream of the client. Its halves cost some KiB each as streams: not for what reads and writes directly. */
class IncomingBidirectional implements BidirectionalStream {
  readonly direct: StreamReader;
  readonly directWriter: StreamWriter;

  constructor(reader: StreamReader, writer: StreamWriter) {
    this.direct = reader;
    this.directWriter = writer;
  }

  get readable(): ReadableStream<Uint8Array> {
    return this.direct.readable;
  }

  get writable(): SendStream {
    return this.directWriter.writable;
  }
}

/** The session over the machine of one connection. `WebTransportHost` feeds it; users see `WebTransportSession`. */
export class Session implements WebTransportSession {
  readonly request: SessionRequest;
  readonly protocol: string;
  readonly ready: Promise<void> = Promise.resolve();
  readonly draining: Promise<void>;
  readonly closed: Promise<CloseInfo>;
  readonly id: number;

  readonly #owner: StreamOwner;
  readonly #quic: QuicTransport;
  readonly #readers = new Map<number, StreamReader>();
  readonly #writers = new Map<number, StreamWriter>();
  readonly #listeners = new Set<(change: NetworkChange) => void>();
  #waiting: Waiting[] = [];
  readonly #incomingBidi = new IncomingStreams<BidirectionalStream>(({ readable, writable }) => {
    readable.cancel(NO_READER).catch(isOver);
    writable.abort(NO_READER).catch(isOver);
  });
  readonly #incomingUni = new IncomingStreams<ReadableStream<Uint8Array>>((readable) => {
    readable.cancel(NO_READER).catch(isOver);
  });
  #datagrams: WebTransportSession['datagrams'] | undefined;
  #incomingDatagrams: ReadableStreamDefaultController<Uint8Array> | undefined;
  #earlyDatagrams: Uint8Array[] = [];
  #earlyOctets = 0;
  #settleClosed!: { resolve: (info: CloseInfo) => void; reject: (error: Error) => void };
  #settleDraining!: () => void;
  #ended = false;

  constructor(
    id: number,
    request: SessionRequest,
    protocol: string,
    quic: QuicTransport,
    owner: Pick<StreamOwner, 'machine' | 'wake'>,
  ) {
    this.id = id;
    this.request = request;
    this.protocol = protocol;
    this.#quic = quic;
    this.#owner = { ...owner, forget: (streamId, half) => this.#forget(streamId, half) };
    this.draining = new Promise((resolve) => {
      this.#settleDraining = resolve;
    });
    this.closed = new Promise((resolve, reject) => {
      this.#settleClosed = { resolve, reject };
    });
    this.closed.catch(() => {}); // not to look at `closed` is no unhandled rejection
  }

  onBidirectionalStream(listener: (stream: BidirectionalStream) => void): () => void {
    return this.#incomingBidi.listen(listener);
  }

  onUnidirectionalStream(listener: (stream: ReadableStream<Uint8Array>) => void): () => void {
    return this.#incomingUni.listen(listener);
  }

  get incomingBidirectionalStreams(): ReadableStream<BidirectionalStream> {
    return this.#incomingBidi.readable;
  }

  get incomingUnidirectionalStreams(): ReadableStream<ReadableStream<Uint8Array>> {
    return this.#incomingUni.readable;
  }

  /** Made when first asked for: a voice call never does, and pays for neither stream. */
  get datagrams(): WebTransportSession['datagrams'] {
    if (this.#datagrams !== undefined) return this.#datagrams;
    this.#datagrams = this.#makeDatagrams();
    for (const data of this.#earlyDatagrams.splice(0)) this.#incomingDatagrams?.enqueue(data);
    if (this.#ended) closeQuietly(this.#incomingDatagrams);
    return this.#datagrams;
  }

  async createBidirectionalStream(options?: { sendOrder?: number }): Promise<BidirectionalStream> {
    const streamId = await this.#open('bidirectional', options);
    return { readable: this.#addReader(streamId).readable, writable: this.#addWriter(streamId).writable };
  }

  async createUnidirectionalStream(options?: { sendOrder?: number }): Promise<WritableStream<Uint8Array>> {
    return this.#addWriter(await this.#open('unidirectional', options)).writable;
  }

  close(info: Partial<CloseInfo> = {}): void {
    if (this.#ended) return;
    const { closeCode = 0, reason = '' } = info;
    this.#owner.machine.closeSession(this.id, closeCode, reason);
    this.end({ closeCode, reason });
    this.#owner.wake();
  }

  drain(): void {
    if (this.#ended) return;
    this.#owner.machine.drainSession(this.id);
    this.#owner.wake();
  }

  stats(): QuicStats {
    return this.#quic.stats();
  }

  onNetworkChange(listener: (change: NetworkChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What had arrived of its streams when it ended: it can be read although the session is over. */
  keepUnread(unread: readonly UnreadStream[]): void {
    for (const { streamId, data, fin } of unread) this.#readers.get(streamId)?.keep(data, fin);
  }

  /** The session is over: cleanly with `outcome` a `CloseInfo`, or lost with an error. */
  end(outcome: CloseInfo | Error): void {
    if (this.#ended) return;
    this.#ended = true;
    const lost = outcome instanceof Error;
    const error = lost
      ? outcome
      : new StreamError(null, `the session was closed${outcome.reason ? `: ${outcome.reason}` : ''}`);
    for (const reader of [...this.#readers.values()]) reader.fail(error);
    for (const writer of [...this.#writers.values()]) writer.fail(error);
    for (const { reject } of this.#waiting) reject(error);
    this.#waiting = [];
    this.#incomingBidi.end(lost ? error : undefined);
    this.#incomingUni.end(lost ? error : undefined);
    closeQuietly(this.#incomingDatagrams, lost ? error : undefined);
    this.#listeners.clear();
    if (lost) this.#settleClosed.reject(error);
    else this.#settleClosed.resolve(outcome);
  }

  streamOpened(streamId: number, direction: StreamDirection): void {
    if (this.#ended) return;
    const reader = this.#addReader(streamId);
    if (direction === 'unidirectional') this.#incomingUni.add(reader.readable);
    else this.#incomingBidi.add(new IncomingBidirectional(reader, this.#addWriter(streamId)));
  }

  streamReadable(streamId: number): void {
    this.#readers.get(streamId)?.notify();
  }

  streamWritable(streamId: number): void {
    this.#writers.get(streamId)?.notifyDrained();
  }

  streamFinished(streamId: number): void {
    this.#writers.get(streamId)?.notifyFinished();
  }

  streamReset(streamId: number, code: number | null): void {
    this.#readers.get(streamId)?.fail(new StreamError(code, `the peer reset the stream${withCode(code)}`));
  }

  streamStopped(streamId: number, code: number | null): void {
    this.#writers.get(streamId)?.fail(new StreamError(code, `the peer stopped the stream${withCode(code)}`));
  }

  streamsAvailable(direction: StreamDirection): void {
    const still: Waiting[] = [];
    for (const waiting of this.#waiting) {
      const streamId =
        waiting.direction === direction ? this.#owner.machine.openStream(this.id, direction) : undefined;
      if (streamId === undefined) still.push(waiting);
      else waiting.resolve(streamId);
    }
    this.#waiting = still;
  }

  datagram(data: Uint8Array): void {
    if (this.#ended) return;
    const incoming = this.#incomingDatagrams;
    if (incoming !== undefined) {
      if ((incoming.desiredSize ?? 0) >= costOf(data)) incoming.enqueue(data);
    } else if (this.#earlyOctets + costOf(data) <= EARLY_DATAGRAM_OCTETS) {
      this.#earlyDatagrams.push(data);
      this.#earlyOctets += costOf(data);
    }
  }

  /** The client asked to wind the session up. */
  drainingReceived(): void {
    this.#settleDraining();
  }

  networkChanged(change: NetworkChange): void {
    for (const listener of this.#listeners) listener(change);
  }

  async #open(direction: StreamDirection, options?: { sendOrder?: number }): Promise<number> {
    this.#mustLive();
    const { machine } = this.#owner;
    const streamId =
      machine.openStream(this.id, direction) ??
      (await new Promise<number>((resolve, reject) => this.#waiting.push({ direction, resolve, reject })));
    // It may have ended between the grant and now: nothing would ever come of its streams.
    this.#mustLive();
    if (options?.sendOrder !== undefined) machine.setStreamPriority(streamId, options.sendOrder);
    this.#owner.wake();
    return streamId;
  }

  #mustLive(): void {
    if (this.#ended) throw new StreamError(null, 'the session is closed');
  }

  #addReader(streamId: number): StreamReader {
    const reader = new StreamReader(this.#owner, streamId);
    this.#readers.set(streamId, reader);
    return reader;
  }

  #addWriter(streamId: number): StreamWriter {
    const writer = new StreamWriter(this.#owner, streamId);
    this.#writers.set(streamId, writer);
    return writer;
  }

  #forget(streamId: number, half: 'reader' | 'writer'): void {
    if (half === 'reader') this.#readers.delete(streamId);
    else this.#writers.delete(streamId);
  }

  #makeDatagrams(): WebTransportSession['datagrams'] {
    const { machine, wake } = this.#owner;
    const { id } = this;
    const readable = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#incomingDatagrams = controller;
        },
      },
      { highWaterMark: DATAGRAM_QUEUE_OCTETS, size: costOf },
    );
    const writable = new WritableStream<Uint8Array>({
      write: (data) => {
        machine.sendDatagram(id, data);
        wake();
      },
    });
    return {
      readable,
      writable,
      get maxDatagramSize() {
        return machine.maxDatagramOctets(id);
      },
    };
  }
}

/** What a datagram that waits counts for, in octets. */
function costOf(datagram: Uint8Array): number {
  return Math.max(datagram.length, DATAGRAM_COST_OCTETS);
}

function withCode(code: number | null): string {
  return code === null ? '' : ` with code ${code}`;
}

function closeQuietly(
  incoming: Pick<ReadableStreamDefaultController, 'error' | 'close'> | undefined,
  error?: Error,
): void {
  try {
    if (error) incoming?.error(error);
    else incoming?.close();
  } catch {
    // Its reader cancelled it before, or it is closed already.
  }
}
