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
/** Octets before the payload: those of the longer head, so that the payload begins at a whole word. */
const HEAD_OCTETS = 8;
const MASK_OCTETS = 4;

/** Frames are cut from pieces of memory of so many octets: one for each frame is work for the garbage collector. */
const SLAB_OCTETS = 128 << 10;
const MASK_POOL = 1024;

const masks = new Uint32Array(MASK_POOL);
let masksTaken = MASK_POOL;
let slab = Buffer.alloc(0);
let slabWords = new Uint32Array(0);
let slabTaken = 0;

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
 * The same as a WebSocket frame of a client (RFC 6455 §5.2), written where it is sent from and masked there: nothing else is allocated but the
 * letters of the samples. Undefined for more than 48 KiB of samples. It holds on to much more memory than its own while it waits, so it is for
 * a socket that takes it at once.
 */
export function appendFrame(pcm: Uint8Array): Buffer | undefined {
  const audio = Buffer.from(pcm.buffer, pcm.byteOffset, pcm.byteLength).toString('base64');
  const payload = BEFORE.length + audio.length + AFTER.length;
  if (payload > MAX_PAYLOAD_OCTETS) return undefined;
  const at = takeMemory(payload);
  slab.write(BEFORE, at, 'latin1');
  slab.write(audio, at + BEFORE.length, 'latin1');
  slab.write(AFTER, at + BEFORE.length + audio.length, 'latin1');
  const mask = nextMask();
  // In whole words: what is behind the payload was not taken yet.
  const end = (at + payload + 3) >> 2;
  for (let word = at >> 2; word < end; word++) slabWords[word]! ^= mask;
  slabWords[(at >> 2) - 1] = mask;
  const from = at - MASK_OCTETS - (payload > MAX_SHORT_OCTETS ? 4 : 2);
  slab[from] = FINAL_TEXT;
  if (payload <= MAX_SHORT_OCTETS) slab[from + 1] = MASKED | payload;
  else {
    slab[from + 1] = MASKED | LENGTH_OF_16_BITS;
    slab.writeUInt16BE(payload, from + 2);
  }
  return slab.subarray(from, at + payload);
}

/** Gives where a payload of so many octets may be written; there is room for a head before it. */
function takeMemory(payload: number): number {
  const octets = HEAD_OCTETS + ((payload + 3) & ~3);
  if (slab.length - slabTaken < octets) {
    slab = Buffer.allocUnsafeSlow(SLAB_OCTETS);
    slabWords = new Uint32Array(slab.buffer);
    slabTaken = 0;
  }
  const at = slabTaken + HEAD_OCTETS;
  slabTaken += octets;
  return at;
}

/** A mask that the upstream's side cannot foresee, for each frame a fresh one (RFC 6455 §5.3). */
function nextMask(): number {
  if (masksTaken === MASK_POOL) {
    randomFillSync(masks);
    masksTaken = 0;
  }
  return masks[masksTaken++]!;
}
