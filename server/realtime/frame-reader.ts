const FIN = 0x80;
const OPCODE = 0x0f;
const FINAL_TEXT = 0x81;
const FINAL_BINARY = 0x82;
/** Opcodes from here on are of control frames, which may stand between the fragments of a message. */
const FIRST_CONTROL = 0x8;
const MASKED = 0x80;
const LENGTH_OF_16_BITS = 126;
const LENGTH_OF_64_BITS = 127;
const LONGEST_HEAD_OCTETS = 10;

/** Where the frames go. */
export interface FrameTarget {
  /** Whether `take` may be called now. */
  readonly takes: boolean;
  /** A whole message. The octets are valid until it returns. */
  take(message: Buffer): void;
  /** Octets that are not for `take`, in order with its calls. Valid until it returns. */
  pass(octets: Buffer): void;
}

/**
 * Finds the messages that come whole in one piece of what a WebSocket's server sends: frames that are not fragmented, compressed, masked or
 * cut (RFC 6455 §5.2). All else is passed on as it is, to ws, which also judges what is wrong. Sans-IO.
 */
export class FrameReader {
  /** Octets left of a frame that is passed on. */
  #left = 0;
  /** The head of a frame that came in pieces. */
  readonly #head = new Uint8Array(LONGEST_HEAD_OCTETS);
  #headLength = 0;
  /** More fragments of a message are to come. */
  #fragmented = false;
  /** Where frames begin is not known any more: something was wrong. */
  #lost = false;
  #payloadAt = 0;
  #frameEnd = 0;

  push(octets: Buffer, target: FrameTarget): void {
    let passFrom = 0;
    let at = 0;
    while (at < octets.length) {
      if (this.#left > 0) {
        const some = Math.min(this.#left, octets.length - at);
        this.#left -= some;
        at += some;
      } else if (this.#lost) at = octets.length;
      else if (!this.#isWhole(octets, at)) at = this.#readHead(octets, at);
      else {
        if (passFrom < at) target.pass(octets.subarray(passFrom, at));
        passFrom = at;
        at = this.#frameEnd;
        if (!target.takes) continue;
        target.take(octets.subarray(this.#payloadAt, at));
        passFrom = at;
      }
    }
    if (passFrom < at) target.pass(passFrom === 0 ? octets : octets.subarray(passFrom));
  }

  /** Whether a message that may be taken stands here, to its end. */
  #isWhole(octets: Buffer, at: number): boolean {
    if (this.#headLength > 0 || this.#fragmented || octets.length - at < 2) return false;
    if (octets[at] !== FINAL_TEXT && octets[at] !== FINAL_BINARY) return false;
    const short = octets[at + 1]!;
    if (short > LENGTH_OF_16_BITS) return false;
    this.#payloadAt = at + 2;
    let length = short;
    if (short === LENGTH_OF_16_BITS) {
      if (octets.length - at < 4) return false;
      length = (octets[at + 2]! << 8) | octets[at + 3]!;
      this.#payloadAt = at + 4;
    }
    this.#frameEnd = this.#payloadAt + length;
    return this.#frameEnd <= octets.length;
  }

  /** Reads a head, or some octets of it, and gives where they end. */
  #readHead(octets: Buffer, from: number): number {
    const head = this.#head;
    let at = from;
    while (at < octets.length && this.#headLength < headOctets(head, this.#headLength)) {
      head[this.#headLength++] = octets[at++]!;
    }
    if (this.#headLength < headOctets(head, this.#headLength)) return at;
    this.#headLength = 0;
    this.#left = payloadOctets(head);
    const opcode = head[0]! & OPCODE;
    if (opcode < FIRST_CONTROL) this.#fragmented = (head[0]! & FIN) === 0;
    // A server masks nothing (RFC 6455 §5.1), and nothing is so long.
    this.#lost = (head[1]! & MASKED) !== 0 || this.#left > Number.MAX_SAFE_INTEGER;
    return at;
  }
}

/** Octets of a head of which `known` are there. */
function headOctets(head: Uint8Array, known: number): number {
  if (known < 2) return 2;
  const short = head[1]! & ~MASKED;
  if (short === LENGTH_OF_16_BITS) return 4;
  return short === LENGTH_OF_64_BITS ? LONGEST_HEAD_OCTETS : 2;
}

function payloadOctets(head: Uint8Array): number {
  const short = head[1]! & ~MASKED;
  if (short < LENGTH_OF_16_BITS) return short;
  let length = 0;
  for (let i = 2; i < headOctets(head, 2); i++) length = length * 256 + head[i]!;
  return length;
}
