import { SAMPLE_RATE } from '../../../proto/voice/index.ts';

const NOTES_HZ = [659.25, 987.77];
const NOTE_SECONDS = 0.35;
const LOUDNESS = 0.25;

/** Two soft notes of PCM16, 0.7 s: what the service "says" when it has nothing of the caller's to repeat. */
export function chime(): Uint8Array {
  const noteSamples = Math.floor(NOTE_SECONDS * SAMPLE_RATE);
  const out = Buffer.alloc(noteSamples * NOTES_HZ.length * 2);
  let at = 0;
  for (const hz of NOTES_HZ) {
    for (let i = 0; i < noteSamples; i++) {
      const envelope = Math.min(1, i / 240) * Math.exp((-4 * i) / noteSamples);
      const level = Math.sin((2 * Math.PI * hz * i) / SAMPLE_RATE) * envelope * LOUDNESS;
      at = out.writeInt16LE(Math.round(level * 32_767), at);
    }
  }
  return out;
}
