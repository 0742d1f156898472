import { randomFillSync } from 'node:crypto';
import type { Upstream } from './upstream.ts';

const BEFORE = '{"type":"input_audio_buffer.append","audio":"';
const AFTER = '"}';

/** A whole text, and the bit that says that a mask follows the length. */
const FINAL_TEXT = 0x81;
const MASKED = 0x80;
/** Longest payload whose length stands in 7 bits, what stands there for one in 16, and the longest of those. */
const MAX_SHORT_OCTETS = 125;
const LENGTH_OF_16_BITS = 126;
const MAX_PAYLOAD_OCTETS = 0xffff;
const MASK_OCTETS = 4;
/** Octets before the payload: those of the longer head. */
const HEAD_OCTETS = 8;
/** Where the letters begin: at a whole word, behind the longest head and what stands before them. */
const AUDIO_AT = Math.ceil((HEAD_OCTETS + BEFORE.length) / 4) * 4;
const PAYLOAD_AT = AUDIO_AT - BEFORE.length;

/** Room for the longest frame. One for all: memory for each would be work for the garbage collector. */
const FRAME_OCTETS = PAYLOAD_AT + MAX_PAYLOAD_OCTETS + 1;
const MASK_POOL = 1024;

const masks = new Uint8Array(MASK_POOL * MASK_OCTETS);
let masksTaken = MASK_POOL;
const memory = Buffer.from(new ArrayBuffer(Math.ceil(FRAME_OCTETS / 4) * 4));
/** The same memory, two letters at a time. */
const pairs = new Uint16Array(memory.buffer);

/** The letters of the frame's mask that meet the first four letters of the audio, and those that follow. */
const turned = new Uint8Array(MASK_OCTETS);
const turnedPairs = new Uint16Array(turned.buffer);

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const EQUALS = 0x3d;
/** Both letters of each 12 bits, as they lie in memory. */
const LETTER_PAIRS = new Uint16Array(1 << 12);
{
  const octets = new Uint8Array(LETTER_PAIRS.buffer);
  for (let bits = 0; bits < 1 << 12; bits++) {
    octets[2 * bits] = LETTERS.charCodeAt(bits >> 6);
    octets[2 * bits + 1] = LETTERS.charCodeAt(bits & 0x3f);
  }
}

/** `input_audio_buffer.append` of whole samples, as JSON. */
export function appendText(pcm: Uint8Array): string {
  // What JSON.stringify would give, without looking at each of 2560 letters for one to escape: base64 has none.
  const audio = Buffer.from(pcm.buffer, pcm.byteOffset, pcm.byteLength).toString('base64');
  return `${BEFORE}${audio}${AFTER}`;
}

/** Gives an upstream audio, whether or not it has a way of its own for that. */
export function sendAudio(upstream: Upstream, pcm: Uint8Array): void {
  if (upstream.sendAudio === undefined) upstream.sendText(appendText(pcm));
  else upstream.sendAudio(pcm);
}

/**
 * The same as a WebSocket frame of a client (RFC 6455 §5.2), written and masked in one go where it is sent from: nothing is allocated.
 * Undefined for more than 48 KiB of samples. Its octets are valid until the next one is made: it is for a socket that
 * takes it at once, as TLS does, which encrypts before a write returns.
 */
export function appendFrame(pcm: Uint8Array): Buffer | undefined {
  const letters = 4 * Math.ceil(pcm.length / 3);
  const payload = BEFORE.length + letters + AFTER.length;
  if (payload > MAX_PAYLOAD_OCTETS) return undefined;
  const mask = nextMask();
  for (let i = 0; i < MASK_OCTETS; i++)
    turned[i] = masks[mask + ((BEFORE.length + i) % MASK_OCTETS)] as number;
  putLetters(pcm);
  for (let i = 0; i < BEFORE.length; i++)
    memory[PAYLOAD_AT + i] = BEFORE.charCodeAt(i) ^ (masks[mask + (i % MASK_OCTETS)] as number);
  // The letters are whole words, so what follows them meets the mask as they did.
  for (let i = 0; i < AFTER.length; i++)
    memory[AUDIO_AT + letters + i] = AFTER.charCodeAt(i) ^ (turned[i % MASK_OCTETS] as number);
  for (let i = 0; i < MASK_OCTETS; i++) memory[PAYLOAD_AT - MASK_OCTETS + i] = masks[mask + i] as number;
  const from = PAYLOAD_AT - MASK_OCTETS - (payload > MAX_SHORT_OCTETS ? 4 : 2);
  memory[from] = FINAL_TEXT;
  if (payload <= MAX_SHORT_OCTETS) memory[from + 1] = MASKED | payload;
  else {
    memory[from + 1] = MASKED | LENGTH_OF_16_BITS;
    memory[from + 2] = payload >> 8;
    memory[from + 3] = payload & 0xff;
  }
  return memory.subarray(from, PAYLOAD_AT + payload);
}

/** Puts the samples there in base64, masked. */
function putLetters(pcm: Uint8Array): void {
  const first = turnedPairs[0] as number;
  const second = turnedPairs[1] as number;
  // As constants of the function: of a bundle's, V8 asks each time around whether they are the same still.
  const out = pairs;
  const letters = LETTER_PAIRS;
  const whole = pcm.length - (pcm.length % 3);
  let at = AUDIO_AT >> 1;
  for (let i = 0; i < whole; i += 3) {
    const middle = pcm[i + 1] as number;
    out[at] = (letters[((pcm[i] as number) << 4) | (middle >> 4)] as number) ^ first;
    out[at + 1] = (letters[((middle & 0x0f) << 8) | (pcm[i + 2] as number)] as number) ^ second;
    at += 2;
  }
  if (whole === pcm.length) return;
  const middle = whole + 1 < pcm.length ? (pcm[whole + 1] as number) : 0;
  out[at] = (letters[((pcm[whole] as number) << 4) | (middle >> 4)] as number) ^ first;
  out[at + 1] = (letters[(middle & 0x0f) << 8] as number) ^ second;
  const end = 2 * at + 4;
  memory[end - 1] = EQUALS ^ (turned[3] as number);
  if (whole + 1 === pcm.length) memory[end - 2] = EQUALS ^ (turned[2] as number);
}

/** Where in `masks` one lies that the upstream's side cannot foresee, for each frame a fresh one (RFC 6455 §5.3). */
function nextMask(): number {
  if (masksTaken === MASK_POOL) {
    randomFillSync(masks);
    masksTaken = 0;
  }
  return MASK_OCTETS * masksTaken++;
}
