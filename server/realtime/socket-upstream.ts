import type { RealtimeClientEvent } from 'openai/resources/realtime/realtime';
import type { Message } from '../../proto/voice/index.ts';
import { describeClose, describeFault } from './ends.ts';
import { makeRedact } from './redact.ts';
import { type OddEventKind, readServerEvent } from './server-event.ts';
import type { Upstream, UpstreamEnd } from './upstream.ts';

/** What is used of a WebSocket: that of Node, of `ws`, or an object of the same shape over something else. */
export interface WebSocketLike {
  /** 0 connecting, 1 open, 2 closing, 3 closed. */
  readonly readyState: number;
  readonly bufferedAmount?: number;
  send(text: string): void;
  close(code?: number, reason?: string): void;
  addEventListener(type: 'open', listener: () => void): void;
  addEventListener(type: 'message', listener: (event: { readonly data: unknown }) => void): void;
  addEventListener(
    type: 'close',
    listener: (event: { readonly code?: number; readonly reason?: string }) => void,
  ): void;
  addEventListener(type: 'error', listener: (event: unknown) => void): void;
}

/** Hears of an event that was left out. */
export type OnOdd = (kind: OddEventKind, type: string, octets: number) => void;

const OPEN = 1;
/** Events, and characters of them, that wait for a listener; such a socket cannot be told to wait, so more ends it. */
const MAX_EARLY_EVENTS = 1024;
const MAX_EARLY_CHARACTERS = 16 << 20;

/** An upstream over a socket that the app's own code opened: it speaks the Realtime API's events as text. */
export class SocketUpstream implements Upstream {
  readonly kind = 'custom';
  readonly #socket: WebSocketLike;
  readonly #onOdd: OnOdd | undefined;
  readonly #madeAt = performance.now();
  #fault: Error | undefined;
  #everOpen = false;
  #ended: UpstreamEnd | undefined;
  #closedByUs = false;
  #early: Message[] | undefined = [];
  #earlyCharacters = 0;
  #openListener: (() => void) | undefined;
  #eventListener: ((event: Message) => void) | undefined;
  #closeListener: ((end: UpstreamEnd) => void) | undefined;

  constructor(socket: WebSocketLike, onOdd?: OnOdd) {
    this.#socket = socket;
    this.#onOdd = onOdd;
    this.#everOpen = socket.readyState === OPEN;
    socket.addEventListener('open', () => this.#open());
    socket.addEventListener('message', ({ data }) => this.#take(data));
    socket.addEventListener('error', (event) => {
      const { error, message } = event as { error?: unknown; message?: unknown };
      this.#fault = error instanceof Error ? error : new Error(String(message ?? 'the socket failed'));
    });
    socket.addEventListener('close', ({ code = 1006, reason = '' }) => this.#closed(code, reason));
    if (socket.readyState > OPEN) this.#closed(1006, 'the socket was closed already');
  }

  get isOpen(): boolean {
    return this.#socket.readyState === OPEN && this.#ended === undefined && !this.#closedByUs;
  }

  get bufferedAmount(): number {
    const { bufferedAmount } = this.#socket;
    return typeof bufferedAmount === 'number' ? bufferedAmount : 0;
  }

  onOpen(listener: () => void): void {
    if (this.isOpen) listener();
    else this.#openListener = listener;
  }

  onEvent(listener: (event: Message) => void): void {
    this.#eventListener = listener;
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const event of early) listener(event);
  }

  onClose(listener: (end: UpstreamEnd) => void): void {
    if (this.#ended !== undefined && !this.#closedByUs) listener(this.#ended);
    else this.#closeListener = listener;
  }

  send(event: RealtimeClientEvent): void {
    this.sendText(JSON.stringify(event));
  }

  sendText(json: string): void {
    if (!this.isOpen) return;
    try {
      this.#socket.send(json);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Such a socket cannot be told to wait. */
  pause(): void {}

  resume(): void {}

  close(): void {
    if (this.#closedByUs) return;
    this.#closedByUs = true;
    this.#closeSocket();
  }

  #closeSocket(): void {
    try {
      this.#socket.close(1000, 'the call is over');
    } catch {
      // One that is not open yet may refuse to be closed; its events are not listened to any more.
    }
  }

  #open(): void {
    this.#everOpen = true;
    const listener = this.#openListener;
    this.#openListener = undefined;
    if (!this.#closedByUs && this.#ended === undefined) listener?.();
    else this.#closeSocket();
  }

  #take(data: unknown): void {
    if (this.#closedByUs || this.#ended !== undefined) return;
    const text = textOf(data);
    const { event, odd, type } = readServerEvent(text);
    if (odd !== undefined) this.#onOdd?.(odd, type, text.length);
    else if (this.#early === undefined) this.#eventListener?.(event);
    else this.#keep(event, text.length);
  }

  #keep(event: Message, characters: number): void {
    this.#early?.push(event);
    this.#earlyCharacters += characters;
    const count = this.#early?.length ?? 0;
    if (count > MAX_EARLY_EVENTS || this.#earlyCharacters > MAX_EARLY_CHARACTERS)
      this.#fail(new Error('it sent more than may wait before the call began'));
  }

  #fail(error: unknown): void {
    this.#fault = error instanceof Error ? error : new Error(String(error));
    this.#closed(1006, '');
    this.#closeSocket();
  }

  #closed(closeCode: number, reason: string): void {
    if (this.#ended !== undefined) return;
    const said = reason === '' && this.#fault !== undefined ? this.#fault.message : reason;
    const ageMs = performance.now() - this.#madeAt;
    const facts = { closeCode, reason: said, ageMs, msToExpiry: undefined, lastError: undefined };
    this.#ended = this.#everOpen ? describeClose(facts, redact) : describeFault(this.#fault, redact);
    this.#early = [];
    if (!this.#closedByUs) this.#closeListener?.(this.#ended);
  }
}

/** Hides what looks like a secret; none is known here. */
const redact = makeRedact([]);

/** A message's text; what is none is no event either. */
function textOf(data: unknown): string {
  if (typeof data === 'string') return data;
  if (data instanceof ArrayBuffer || ArrayBuffer.isView(data))
    return new TextDecoder().decode(data as ArrayBuffer);
  return '';
}
