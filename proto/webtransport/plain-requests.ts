import { type Field, type Http3Connection, Http3ErrorCode, type RequestHead } from '../http3/index.ts';
import { LazyMap, OctetBuffer } from '../wire/index.ts';
import type { WebTransportEvent } from './events.ts';

/** Octets of a plain request's body that we take: health checks have none. */
const MAX_REQUEST_BODY_OCTETS = 65_536;
/** Octets of the bodies of all requests of a connection that are not whole yet. */
const MAX_HELD_BODY_OCTETS = 262_144;
/** Octets of a plain response's body that we take, as a client. */
const MAX_RESPONSE_BODY_OCTETS = 1_048_576;

export interface OutgoingRequest {
  readonly method: string;
  readonly authority: string;
  readonly path: string;
  readonly headers?: readonly Field[];
  readonly body?: Uint8Array;
}

interface Exchange {
  readonly request: RequestHead | undefined;
  status: number;
  headers: readonly Field[];
  /** Bounded for either role, so that a body costs its octets however they are cut. */
  readonly body: OctetBuffer;
}

/** Requests on a connection that are no sessions: gathered whole, within bounds. */
export class PlainRequests {
  readonly #http3: Http3Connection;
  readonly #emit: (event: WebTransportEvent) => void;
  /** Messages being gathered; bounded by QUIC's stream limit. */
  readonly #exchanges = new LazyMap<number, Exchange>();
  /** Requests handed up and not answered: whether they were HEAD. */
  readonly #unanswered = new LazyMap<number, boolean>();
  /** Octets of request bodies that are being gathered. */
  #heldOctets = 0;

  constructor(http3: Http3Connection, emit: (event: WebTransportEvent) => void) {
    this.#http3 = http3;
    this.#emit = emit;
  }

  /** Client. */
  send(request: OutgoingRequest): number {
    const { method, authority, path, headers = [], body } = request;
    const streamId = this.#http3.reserveRequest(method);
    this.#exchanges.set(streamId, {
      request: undefined,
      status: 0,
      headers: [],
      body: new OctetBuffer(MAX_RESPONSE_BODY_OCTETS),
    });
    const head: Field[] = [
      [':method', method],
      [':scheme', 'https'],
      [':authority', authority],
      [':path', path],
      ...headers,
    ];
    const empty = body === undefined || body.length === 0;
    this.#http3.sendHeaders(streamId, head, empty);
    if (!empty) this.#http3.sendData(streamId, body, true);
    return streamId;
  }

  /** Server: a request's head came. */
  begin(streamId: number, request: RequestHead): void {
    this.#exchanges.set(streamId, {
      request,
      status: 0,
      headers: [],
      body: new OctetBuffer(MAX_REQUEST_BODY_OCTETS),
    });
  }

  /** Client: a response's head came; false when it answers no plain request. */
  response(streamId: number, status: number, headers: readonly Field[]): boolean {
    const exchange = this.#exchanges.get(streamId);
    if (exchange === undefined) return false;
    exchange.status = status;
    exchange.headers = headers;
    return true;
  }

  data(streamId: number, data: Uint8Array): void {
    const exchange = this.#exchanges.get(streamId);
    if (exchange === undefined) return;
    const server = exchange.request !== undefined;
    const room = !server || this.#heldOctets + data.length <= MAX_HELD_BODY_OCTETS;
    if (room && exchange.body.append(data)) {
      if (server) this.#heldOctets += data.length;
      return;
    }
    this.#take(streamId);
    if (server) {
      this.#answer(streamId, 413, [], new Uint8Array(0), false);
      return;
    }
    this.#http3.abort(streamId, Http3ErrorCode.H3_REQUEST_CANCELLED);
    const reason = `the response is larger than ${MAX_RESPONSE_BODY_OCTETS} octets`;
    this.#emit({ type: 'requestFailed', streamId, code: Http3ErrorCode.H3_REQUEST_CANCELLED, reason });
  }

  /** Ends the gathering of a message. */
  #take(streamId: number): Exchange | undefined {
    const exchange = this.#exchanges.get(streamId);
    this.#exchanges.delete(streamId);
    if (exchange?.request !== undefined) this.#heldOctets -= exchange.body.length;
    return exchange;
  }

  end(streamId: number): void {
    const exchange = this.#take(streamId);
    if (exchange === undefined) return;
    const body = exchange.body.take();
    const { request, status, headers } = exchange;
    if (request === undefined) {
      this.#emit({ type: 'response', streamId, status, headers, body });
      return;
    }
    const { method, path, authority } = request;
    this.#unanswered.set(streamId, method === 'HEAD');
    this.#emit({ type: 'request', streamId, method, path, authority, headers: request.headers, body });
  }

  /** No more of the message will come. */
  aborted(streamId: number, code: number, reason: string): void {
    const exchange = this.#take(streamId);
    this.#unanswered.delete(streamId);
    if (exchange === undefined) return;
    this.#http3.abort(streamId, Http3ErrorCode.H3_REQUEST_CANCELLED);
    if (exchange.request === undefined) this.#emit({ type: 'requestFailed', streamId, code, reason });
  }

  /** A datagram came for a stream; false when that is none of these, which have no use for any (RFC 9297 §2). */
  datagram(streamId: number): boolean {
    const exchange = this.#take(streamId);
    const unanswered = this.#unanswered.delete(streamId);
    if (exchange === undefined && !unanswered) return false;
    const code = Http3ErrorCode.H3_DATAGRAM_ERROR;
    this.#http3.abort(streamId, code);
    if (exchange !== undefined && exchange.request === undefined)
      this.#emit({ type: 'requestFailed', streamId, code, reason: 'a datagram came for a plain request' });
    return true;
  }

  /** The client no longer wants the answer. */
  stopped(streamId: number): void {
    this.#unanswered.delete(streamId);
  }

  /** Server: answers a request that was handed up. Does nothing when it is gone. */
  respond(streamId: number, status: number, headers: readonly Field[], body: Uint8Array): void {
    const head = this.#unanswered.get(streamId);
    if (head === undefined) return;
    this.#unanswered.delete(streamId);
    this.#answer(streamId, status, headers, body, head);
  }

  /** Refuses a request by its head alone. */
  refuse(streamId: number, status: number): void {
    this.#answer(streamId, status, [], new Uint8Array(0), false);
  }

  #answer(
    streamId: number,
    status: number,
    headers: readonly Field[],
    body: Uint8Array,
    isHead: boolean,
  ): void {
    const fields: Field[] = [[':status', String(status)], ...headers];
    const bodiless = status === 204 || status === 304;
    if (!bodiless && !headers.some(([name]) => name === 'content-length'))
      fields.push(['content-length', String(body.length)]);
    const empty = isHead || bodiless || body.length === 0;
    this.#http3.sendHeaders(streamId, fields, empty);
    if (!empty) this.#http3.sendData(streamId, body, true);
    // RFC 9114 §4.1: the answer is whole, the rest of the request is not wanted.
    this.#http3.stopReading(streamId, Http3ErrorCode.H3_NO_ERROR);
  }

  /** The QUIC connection is gone: no answer will come, or go. */
  connectionLost(): void {
    for (const streamId of [...this.#exchanges.keys()])
      this.aborted(streamId, Http3ErrorCode.H3_REQUEST_CANCELLED, 'the connection was lost');
    this.#unanswered.clear();
  }

  /** Client: the server will not serve streams from `id` on (RFC 9114 §5.2). */
  goAway(id: number): void {
    for (const streamId of [...this.#exchanges.keys()]) {
      if (this.#http3.refusedByGoAway(streamId, id))
        this.aborted(streamId, Http3ErrorCode.H3_REQUEST_REJECTED, 'the server is going away');
    }
  }
}
