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

/** Room for the longest frame. One for all: memory for each would be work for the garbage collector. */
const FRAME_OCTETS = HEAD_OCTETS + MAX_PAYLOAD_OCTETS + 1;
const MASK_POOL = 1024;

const masks = new Uint32Array(MASK_POOL);
let masksTaken = MASK_POOL;
const memory = Buffer.allocUnsafeSlow(FRAME_OCTETS);
const words = new Uint32Array(memory.buffer);

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
 * letters of the samples. Undefined for more than 48 KiB of samples. Its octets are valid until the next one is made: it is for a socket that
 * takes it at once, as TLS does, which encrypts before a write returns.
 */
export function appendFrame(pcm: Uint8Array): Buffer | undefined {
  const audio = Buffer.from(pcm.buffer, pcm.byteOffset, pcm.byteLength).toString('base64');
  const payload = BEFORE.length + audio.length + AFTER.length;
  if (payload > MAX_PAYLOAD_OCTETS) return undefined;
  const at = HEAD_OCTETS;
  memory.write(BEFORE, at, 'latin1');
  memory.write(audio, at + BEFORE.length, 'latin1');
  memory.write(AFTER, at + BEFORE.length + audio.length, 'latin1');
  const mask = nextMask();
  // In whole words: nothing lies behind the payload.
  const end = (at + payload + 3) >> 2;
  for (let word = at >> 2; word < end; word++) words[word]! ^= mask;
  words[(at >> 2) - 1] = mask;
  const from = at - MASK_OCTETS - (payload > MAX_SHORT_OCTETS ? 4 : 2);
  memory[from] = FINAL_TEXT;
  if (payload <= MAX_SHORT_OCTETS) memory[from + 1] = MASKED | payload;
  else {
    memory[from + 1] = MASKED | LENGTH_OF_16_BITS;
    memory.writeUInt16BE(payload, from + 2);
  }
  return memory.subarray(from, at + payload);
}

/** A mask that the upstream's side cannot foresee, for each frame a fresh one (RFC 6455 §5.3). */
function nextMask(): number {
  if (masksTaken === MASK_POOL) {
    randomFillSync(masks);
    masksTaken = 0;
  }
  return masks[masksTaken++]!;
}
