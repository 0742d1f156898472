import type { RealtimeServerEvent } from 'openai/resources/realtime/realtime';

type WithoutId<E> = E extends unknown ? Omit<E, 'event_id'> : never;

/** A server event before its `event_id` is set. */
export type ServerEvent = WithoutId<RealtimeServerEvent>;

/** Takes server events to the client. */
export interface EventSink {
  emit(event: ServerEvent): void;
  /** Octets that the client has not taken yet. */
  bufferedAmount(): number;
}

/** A fault of the client's, sent as an `error` event; the session goes on. */
export class ClientFault extends Error {
  override readonly name = 'ClientFault';
  readonly code: string;
  readonly param: string | null;

  constructor(code: string, message: string, param: string | null = null) {
    super(message);
    this.code = code;
    this.param = param;
  }
}
