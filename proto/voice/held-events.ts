import { SessionCloseCode, VoiceProtocolError } from './codes.ts';

/** Events that may wait for audio: far more than a person makes. */
export const MAX_HELD_EVENTS = 64;
/** Octets of held events above which the control stream should not be read; one message more may then be held. */
export const MAX_HELD_OCTETS = 256 << 10;

/** An event of a page that waits for audio, or behind one that does. */
export interface HeldEvent {
  /** Undefined for one that was refused: it is not sent, and counted all the same. */
  readonly json: string | undefined;
  /** Samples that must have been handed on before it; undefined for an event that only keeps its place in the order. */
  readonly samples: number | undefined;
  /** Of an earlier session: no stretch of this one counts it. */
  earlier: boolean;
}

/** The events of a page that wait, in order. */
export class HeldEvents {
  readonly #events: HeldEvent[] = [];
  #octets = 0;

  get size(): number {
    return this.#events.length;
  }

  /** Octets of their JSON, at most. */
  get octets(): number {
    return this.#octets;
  }

  get first(): HeldEvent | undefined {
    return this.#events[0];
  }

  /** Throws `VoiceProtocolError` when too many wait. */
  push(json: string | undefined, samples: number | undefined): void {
    if (this.#events.length >= MAX_HELD_EVENTS) {
      throw new VoiceProtocolError(
        SessionCloseCode.QUEUE_FULL,
        `more than ${MAX_HELD_EVENTS} events wait for sample ${this.first?.samples} of the microphone`,
      );
    }
    this.#events.push({ json, samples, earlier: false });
    this.#octets += octetsOf(json);
  }

  shift(): void {
    this.#octets -= octetsOf(this.#events.shift()?.json);
  }

  /** Another session carries the call: what is held stays held. */
  nextSession(): void {
    for (const event of this.#events) event.earlier = true;
  }

  clear(): void {
    this.#events.length = 0;
    this.#octets = 0;
  }
}

/** What a held event costs at most: two octets for each character of its JSON. */
function octetsOf(json: string | undefined): number {
  return json === undefined ? 0 : json.length * 2;
}
