import type { QuicTransport } from '../quic/index.ts';
import type { Field } from './fields.ts';
import { encodeFrame, encodeFrameHead, FrameType } from './frames.ts';
import { MessageStream } from './message-stream.ts';
import { encodeFieldSection } from './qpack/index.ts';
import type { RequestIds } from './request-ids.ts';

/** Decoded size of a field section that we take, in octets (SETTINGS_MAX_FIELD_SECTION_SIZE, RFC 9114 §4.2.2). */
export const MAX_FIELD_SECTION_OCTETS = 16_384;
/** Up to here a DATA frame is written in one piece, head and payload together. */
const JOINED_DATA_OCTETS = 1024;

/** The messages that are under way, each on its request stream, until both directions are done; and what is sent on them. */
export class MessageTable {
  readonly #quic: QuicTransport;
  readonly #requestIds: RequestIds;
  readonly #signalType: number | undefined;
  readonly #messages = new Map<number, MessageStream>();
  #closed = false;

  /** `signalType` begins a stream of an extension, and may not come within a message. */
  constructor(quic: QuicTransport, requestIds: RequestIds, signalType: number | undefined) {
    this.#quic = quic;
    this.#requestIds = requestIds;
    this.#signalType = signalType;
  }

  get(streamId: number): MessageStream | undefined {
    return this.#messages.get(streamId);
  }

  /** `method` is that of our own request, when we are the client. */
  add(streamId: number, method: string): MessageStream {
    const weAreServer = this.#quic.role === 'server';
    const message = new MessageStream(
      streamId,
      weAreServer,
      method,
      this.#signalType,
      MAX_FIELD_SECTION_OCTETS,
    );
    this.#messages.set(streamId, message);
    return message;
  }

  /** The connection is closed: nothing is sent any more. */
  close(): void {
    this.#closed = true;
  }

  sendHeaders(streamId: number, fields: readonly Field[], fin: boolean): void {
    this.#write(streamId, encodeFrame(FrameType.HEADERS, encodeFieldSection(fields)), fin);
  }

  sendData(streamId: number, data: Uint8Array, fin: boolean): void {
    if (data.length <= JOINED_DATA_OCTETS) {
      this.#write(streamId, data.length === 0 ? data : encodeFrame(FrameType.DATA, data), fin);
      return;
    }
    this.#write(streamId, encodeFrameHead(FrameType.DATA, data.length), false);
    this.#write(streamId, data, fin);
  }

  #write(streamId: number, octets: Uint8Array, fin: boolean): void {
    const message = this.#messages.get(streamId);
    if (this.#closed || message === undefined || message.sendDone || message.endSent) return;
    message.endSent = fin;
    if (!this.#requestIds.hold(streamId, octets, fin)) this.#quic.writeStream(streamId, octets, fin);
  }

  stopReading(streamId: number, code: number): void {
    const message = this.#messages.get(streamId);
    if (this.#closed || message === undefined || message.receiveDone) return;
    this.#quic.stopSending(streamId, code);
    this.receiveDone(message);
  }

  /** Ends what is still open of a message, in both directions. */
  abort(streamId: number, code: number): void {
    const message = this.#messages.get(streamId);
    if (this.#closed || message === undefined) return;
    this.#messages.delete(streamId);
    if (this.#requestIds.drop(streamId, code)) return;
    if (!message.sendDone) this.#quic.resetStream(streamId, code);
    if (!message.receiveDone) this.#quic.stopSending(streamId, code);
  }

  /** Ends both directions of a stream, whether it became a message or not. */
  cut(streamId: number, code: number): void {
    this.#messages.delete(streamId);
    this.#quic.resetStream(streamId, code);
    this.#quic.stopSending(streamId, code);
  }

  receiveDone(message: MessageStream): void {
    message.receiveDone = true;
    this.#forgetWhenDone(message);
  }

  /** The peer has all of our half, or wants no more of it. */
  sendDone(streamId: number): void {
    const message = this.#messages.get(streamId);
    if (message === undefined) return;
    message.sendDone = true;
    this.#forgetWhenDone(message);
  }

  #forgetWhenDone(message: MessageStream): void {
    if (message.receiveDone && message.sendDone) this.#messages.delete(message.id);
  }
}
