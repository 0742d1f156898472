import type { ServerMessage } from '../proto/voice/index.ts';

/** Silence of the backend, in ms, after which its session may be gone, while audio is under way: it acknowledges audio every 250 ms. */
const SILENT_MS = 2000;
/** The same while no audio is under way: its figures come each second. */
const SILENT_IDLE_MS = 3500;
/**
 * Octets of a second that carry no audio: the page's ACKs of what the backend says. After an outage they arrive at once, while its audio
 * waits, up to as long again, for a probe timeout that was doubled all the while (RFC 9002 §6.2.1). The thinnest link that carries a call brings 8000.
 */
const ACKS_OCTETS = 2000;
/** A look that comes so long after the last one, in ms, was held up with the whole page, and what came meanwhile is yet to be read. */
const HELD_UP_MS = 1500;

/**
 * Notices that a session has died, in either direction: nothing comes from the backend, or the backend speaks and nothing of the page
 * reaches it. It knows no clock: each call says the time, in ms.
 */
export class SilenceWatch {
  #heardAt = 0;
  #lookedAt = 0;
  /** Of microphone audio, as the backend acknowledges it: how much it has, and since when no more. */
  #received = 0;
  #receivedAt = 0;
  /** Octets that came to the backend in this session, by its figures of each second, and how many in a row say that no audio came. */
  #octets: number | undefined;
  #figuresWithout = 0;
  /** The backend reads no audio, as its upstream takes none. */
  #behind = false;
  /** Since when it has been silent; undefined while it is not known to be. */
  #since: number | undefined;

  /** When the silence began that `isSilent` found; the time of the last sign of life without one. */
  get since(): number {
    return this.#since ?? this.#heardAt;
  }

  /** From now on the backend is to be heard; it has so much microphone audio. */
  start(now: number, received = 0): void {
    this.#heardAt = now;
    this.#lookedAt = now;
    this.#received = received;
    this.#receivedAt = now;
    this.#octets = undefined;
    this.#figuresWithout = 0;
    this.#behind = false;
    this.#since = undefined;
  }

  /** Something came. */
  heard(now: number): void {
    this.#heardAt = now;
  }

  /** What a message of the backend says of what arrives there. */
  take(message: ServerMessage, now: number): void {
    switch (message.type) {
      case 'parley.received':
        if (message.microphoneSamples !== this.#received) this.#receivedAt = now;
        this.#received = message.microphoneSamples;
        break;
      case 'parley.stats':
        if (this.#octets === undefined || message.octetsReceived - this.#octets >= ACKS_OCTETS)
          this.#figuresWithout = 0;
        else this.#figuresWithout += 1;
        this.#octets = message.octetsReceived;
        break;
      case 'parley.behind':
        this.#behind = message.bufferedMs > 0;
        this.#receivedAt = now;
        break;
      default:
      // The others say nothing of what arrives.
    }
  }

  /** Looks; to be called every 250 ms or so. `flowing`: audio is under way, or waits to be acknowledged. */
  isSilent(now: number, flowing: boolean): boolean {
    const heldUp = now - this.#lookedAt > HELD_UP_MS;
    this.#lookedAt = now;
    if (!flowing || this.#behind) this.#receivedAt = now;
    if (heldUp) return false;
    const nothingCame = now - this.#heardAt >= (flowing ? SILENT_MS : SILENT_IDLE_MS);
    // Audio that waits on a thin or lossy link stands still for a while too, but enough of the page comes there each second.
    const nothingArrives = now - this.#receivedAt >= SILENT_MS && this.#figuresWithout > 0;
    if (!nothingCame && !nothingArrives) {
      this.isOver(flowing);
      return false;
    }
    this.#since ??= nothingCame ? this.#heardAt : this.#receivedAt;
    return true;
  }

  /**
   * Whether the silence that `isSilent` found is over: something came, and of the audio that flows something arrived. To be heard is not
   * enough: after an outage the backend's packets may come at once, and the page's next retransmission be many seconds off.
   */
  isOver(flowing: boolean): boolean {
    const since = this.#since;
    if (since !== undefined && (this.#heardAt <= since || (flowing && this.#receivedAt <= since)))
      return false;
    this.#since = undefined;
    return true;
  }
}
