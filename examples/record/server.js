import { writeFileSync } from 'node:fs';
import { startBackend } from 'parley-voice/server';
import { settings, startForwarding } from '../shared.js';

/** The caller on the left, the model on the right: an answer begins where the caller's audio was when it came. */
class Recording {
  caller = [];
  model = [];
  samples = 0;
  #answers = new Map();

  take({ role, pcm, startSample, itemId }) {
    if (role === 'caller') {
      this.caller.push([startSample, pcm]);
      this.samples = startSample + pcm.length / 2;
      return;
    }
    if (!this.#answers.has(itemId)) this.#answers.set(itemId, this.samples);
    this.model.push([this.#answers.get(itemId) + startSample, pcm]);
  }

  wav() {
    const end = ([start, pcm]) => start + pcm.length / 2;
    const samples = Math.max(0, ...this.caller.map(end), ...this.model.map(end));
    const wav = Buffer.alloc(44 + samples * 4);
    wav.write('RIFF', 0);
    wav.writeUInt32LE(36 + samples * 4, 4);
    wav.write('WAVEfmt ', 8);
    wav.writeUInt32LE(16, 16);
    wav.writeUInt16LE(1, 20); // PCM
    wav.writeUInt16LE(2, 22); // channels
    wav.writeUInt32LE(24_000, 24);
    wav.writeUInt32LE(24_000 * 4, 28);
    wav.writeUInt16LE(4, 32);
    wav.writeUInt16LE(16, 34);
    wav.write('data', 36);
    wav.writeUInt32LE(samples * 4, 40);
    for (const [channel, parts] of [this.caller, this.model].entries())
      for (const [start, pcm] of parts)
        for (let i = 0; i < pcm.length; i += 2) {
          const at = 44 + (start + i / 2) * 4 + channel * 2;
          wav[at] = pcm[i];
          wav[at + 1] = pcm[i + 1];
        }
    return wav;
  }
}

const recordings = new Map();

await startBackend(settings, {
  onAudio: (audio, { id }) => {
    if (!recordings.has(id)) recordings.set(id, new Recording());
    recordings.get(id).take(audio);
  },
  onEnd: (_, { id }) => {
    writeFileSync(`${id}.wav`, recordings.get(id)?.wav() ?? '');
    recordings.delete(id);
    console.log(`Recorded ${id}.wav.`);
  },
});
await startForwarding();
