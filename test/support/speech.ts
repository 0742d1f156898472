import { execFileSync } from 'node:child_process';
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
