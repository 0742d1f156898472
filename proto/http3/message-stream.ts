import { FieldSectionTooLargeError, Http3Error, Http3ErrorCode, Http3StreamError } from './errors.ts';
import type { Field } from './fields.ts';
import {
  FrameParser,
  type FramePolicy,
  type FrameTreatment,
  FrameType,
  isReservedFrameType,
} from './frames.ts';
import {
  checkTrailers,
  contentLength,
  parseRequest,
  parseResponse,
  type RequestHead,
  type ResponseHead,
} from './messages.ts';

export type MessageHead =
  | { readonly kind: 'request'; readonly request: RequestHead }
  | { readonly kind: 'response'; readonly response: ResponseHead }
  /** An interim response, or trailers: checked, and of no further use. */
  | { readonly kind: 'other' };

/** The receiving side of one request stream (RFC 9114 §4.1): which frame may come when. */
export class MessageStream implements FramePolicy {
  readonly id: number;
  readonly parser: FrameParser = new FrameParser(this);
  /** After CONNECT only DATA may come (RFC 9114 §4.4). */
  tunnel = false;
  /** The head was handed up, so the end must be too. */
  announced = false;
  receiveDone = false;
  /** Octets of it wait until the events of an earlier read are taken. */
  unread = false;
  sendDone = false;
  /** We ended our half; the peer has yet to acknowledge it. */
  endSent = false;
  readonly #weAreServer: boolean;
  readonly #method: string;
  readonly #signalType: number | undefined;
  readonly #maxSectionOctets: number;
  #phase: 'head' | 'body' | 'trailers' = 'head';
  #expectedOctets: number | undefined;
  #receivedOctets = 0;

  /** @param method of our own request, when we are the client. */
  constructor(
    id: number,
    weAreServer: boolean,
    method: string,
    signalType: number | undefined,
    maxSectionOctets: number,
  ) {
    this.id = id;
    this.#weAreServer = weAreServer;
    this.#method = method;
    this.#signalType = signalType;
    this.#maxSectionOctets = maxSectionOctets;
  }

  admit(type: number, length: number): FrameTreatment {
    switch (type) {
      case FrameType.DATA:
        if (this.#phase !== 'body') throw unexpected('DATA before the header section or after the trailers');
        return 'stream';
      case FrameType.HEADERS:
        if (this.tunnel || this.#phase === 'trailers') throw unexpected('HEADERS after the message');
        // A section counts 32 octets for each line beside its text (RFC 9114 §4.2.2), more than any line's coding takes, unless
        // its encoder chose the longer form of a string.
        if (length > this.#maxSectionOctets) throw new FieldSectionTooLargeError(this.#maxSectionOctets);
        return 'collect';
      case FrameType.PUSH_PROMISE:
        if (this.#weAreServer) throw unexpected('PUSH_PROMISE from a client');
        // RFC 9114 §7.2.5: we sent no MAX_PUSH_ID, so every push ID is above it.
        throw new Http3Error(Http3ErrorCode.H3_ID_ERROR, 'PUSH_PROMISE without MAX_PUSH_ID');
      case FrameType.CANCEL_PUSH:
      case FrameType.SETTINGS:
      case FrameType.GOAWAY:
      case FrameType.MAX_PUSH_ID:
        throw unexpected(`a frame of type ${type} on a request stream`);
      default:
        if (isReservedFrameType(type)) throw unexpected(`a frame of HTTP/2's type ${type}`);
        // draft-ietf-webtrans-http3 §4.3: only the first octets of a stream may be the signal.
        if (type === this.#signalType)
          throw new Http3Error(Http3ErrorCode.H3_FRAME_ERROR, 'a stream signal within a message');
        return 'skip';
    }
  }

  /** A decoded field section. Throws `Http3StreamError` when it is malformed. */
  section(fields: readonly Field[]): MessageHead {
    if (this.#phase !== 'head') {
      this.#phase = 'trailers';
      checkTrailers(fields);
      return { kind: 'other' };
    }
    if (this.#weAreServer) {
      const request = parseRequest(fields);
      this.#phase = 'body';
      this.tunnel = request.method === 'CONNECT';
      if (!this.tunnel) this.#expectedOctets = contentLength(request.headers);
      return { kind: 'request', request };
    }
    const response = parseResponse(fields);
    if (response.status < 200) return { kind: 'other' };
    this.#phase = 'body';
    this.tunnel = this.#method === 'CONNECT' && response.status < 300;
    // RFC 9110 §8.6: these name the length of what is not sent.
    const bodiless = this.#method === 'HEAD' || response.status === 304;
    if (!this.tunnel && !bodiless) this.#expectedOctets = contentLength(response.headers);
    return { kind: 'response', response };
  }

  /** Octets of DATA came. Throws when there are more than Content-Length said (RFC 9114 §4.1.2). */
  body(octets: number): void {
    this.#receivedOctets += octets;
    if (this.#expectedOctets !== undefined && this.#receivedOctets > this.#expectedOctets)
      throw new Http3StreamError(Http3ErrorCode.H3_MESSAGE_ERROR, 'the body is longer than content-length');
  }

  /** The stream ended. Throws when the message is not whole. */
  end(): void {
    if (!this.parser.atBoundary)
      throw new Http3Error(Http3ErrorCode.H3_FRAME_ERROR, 'the stream ends within a frame');
    if (this.#phase === 'head') {
      const code = this.#weAreServer ? Http3ErrorCode.H3_REQUEST_INCOMPLETE : Http3ErrorCode.H3_MESSAGE_ERROR;
      throw new Http3StreamError(code, 'the stream ends before its header section');
    }
    if (this.#expectedOctets !== undefined && this.#receivedOctets !== this.#expectedOctets)
      throw new Http3StreamError(Http3ErrorCode.H3_MESSAGE_ERROR, 'the body is shorter than content-length');
  }
}

function unexpected(what: string): Http3Error {
  return new Http3Error(Http3ErrorCode.H3_FRAME_UNEXPECTED, what);
}
