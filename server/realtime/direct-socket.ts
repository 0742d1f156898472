import type { ClientRequest } from 'node:http';
import { type createConnection, isIP, type Socket } from 'node:net';
import { type ConnectionOptions, connect } from 'node:tls';
import type { WebSocket } from 'ws';
import { FrameReader, type FrameTarget } from './frame-reader.ts';

/** Octets of one read: more than TLS gives at once, which is a record. */
const READ_OCTETS = 64 << 10;
/** One for all sockets: what was read is seen to before anything else is read. */
const readBuffer = Buffer.allocUnsafeSlow(READ_OCTETS);

/** Follows where frames begin in what ws is given by others. */
const NOTHING: FrameTarget = { takes: false, take: () => {}, pass: () => {} };

/**
 * The TLS socket beneath a WebSocket of ws, with a short way for messages. Node's streams and ws cost more than the message that they bring: a
 * buffer per read, three streams' bookkeeping, a copy. Here reads come into one buffer (`onread`), and what is a whole message there is
 * given to `message`; everything else, and everything before the upgrade, goes the usual way, in order. Frames may be written as well.
 */
export class DirectSocket {
  readonly #message: (message: Buffer) => void;
  readonly #reader = new FrameReader();
  #socket: Socket | undefined;
  #websocket: WebSocket | undefined;
  #wantsMore = true;
  readonly #target: FrameTarget;

  /** `message` is given each message that does not come by ws; its octets are valid until it returns. */
  constructor(message: (message: Buffer) => void) {
    this.#message = message;
    const isFree = () => this.#isFree();
    this.#target = {
      get takes() {
        return isFree();
      },
      take: (octets) => this.#message(octets),
      pass: (octets) => this.#pass(octets),
    };
  }

  /** ws's option of this name, for `wss:`. */
  readonly createConnection: typeof createConnection = (options: unknown): Socket => {
    const { host = '', ...others } = options as ConnectionOptions;
    const servername = others.servername ?? (isIP(host) ? '' : host);
    const onread = { buffer: readBuffer, callback: (octets: number) => this.#read(octets) };
    // Of this option @types/node does not know that tls has it too.
    const all = { ...others, host, path: undefined, servername, onread };
    this.#socket = connect(all);
    return this.#socket;
  };

  /** To be called with ws's request and its socket, before the answer. */
  follow(request: ClientRequest, websocket: WebSocket): void {
    request.prependListener('upgrade', (_, socket, head) => {
      if (socket !== this.#socket) return;
      // ws reads it first.
      this.#reader.push(head, NOTHING);
      this.#websocket = websocket;
    });
  }

  /** Whether a whole frame may be written now: the WebSocket is open, and nothing waits to be written. */
  get takesFrames(): boolean {
    const socket = this.#socket;
    return this.#isOpen() && socket?.writable === true && socket.writableLength === 0;
  }

  /** Writes a whole frame, while it takes some. */
  write(frame: Buffer): void {
    this.#socket?.write(frame);
  }

  // Methods, since V8 looks a private getter up anew at each use.
  #isOpen(): boolean {
    return this.#websocket !== undefined && this.#websocket.readyState === this.#websocket.OPEN;
  }

  /** Whether ws reads, and has nothing in hand that would have to go before. */
  #isFree(): boolean {
    const socket = this.#socket;
    return this.#isOpen() && socket?.readableFlowing === true && socket.readableLength === 0;
  }

  /** Octets are in the buffer. Gives whether more may be read now. */
  #read(octets: number): boolean {
    this.#wantsMore = true;
    const read = readBuffer.subarray(0, octets);
    if (this.#websocket === undefined) this.#pass(read);
    else this.#reader.push(read, this.#target);
    return this.#wantsMore;
  }

  #pass(octets: Buffer): void {
    this.#wantsMore = this.#socket?.push(Buffer.from(octets)) ?? false;
  }
}
