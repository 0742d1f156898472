import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

const SAMPLE_RATE = 48_000;

/**
 * Speaks `text` into a WAV file that Chromium's fake microphone takes (48 kHz, mono, 16 bits), with `leadSeconds` of silence before it
 * and `tailSeconds` after. Needs espeak-ng and sox; a missing program is a failure, never a skip.
 */
export function speakToWav(directory: string, text: string, leadSeconds = 1, tailSeconds = 20): string {
  const spoken = join(directory, 'spoken.wav');
  const wav = join(directory, 'microphone.wav');
  execFileSync('espeak-ng', ['-v', 'en', '-s', '150', '-w', spoken, text]);
  const pad = ['pad', String(leadSeconds), String(tailSeconds)];
  execFileSync('sox', [
    spoken,
    '-r',
    String(SAMPLE_RATE),
    '-c',
    '1',
    '-b',
    '16',
    wav,
    'gain',
    '-n',
    '-3',
    ...pad,
  ]);
  return wav;
}

/** Speaks several sentences with pauses after them: a caller who speaks again while the answer is still heard. */
export function conversationToWav(
  directory: string,
  sentences: readonly { readonly text: string; readonly pauseSeconds: number }[],
): string {
  const parts = sentences.map(({ text, pauseSeconds }, i) => {
    const part = join(directory, `sentence-${i}`);
    mkdirSync(part, { recursive: true });
    return speakToWav(part, text, i === 0 ? 1 : 0, pauseSeconds);
  });
  const wav = join(directory, 'conversation.wav');
  execFileSync('sox', [...parts, wav]);
  return wav;
}
