import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { speakToWav } from './speech.ts';

/** In the page: a microphone that is silent until it is told to say something. Only the hardware is replaced. */
export const SCRIPTED_MICROPHONE = `(() => {
  let context, out;
  navigator.mediaDevices.getUserMedia = async () => {
    context = new AudioContext();
    out = context.createMediaStreamDestination();
    await context.resume();
    return out.stream;
  };
  window.say = async (base64) => {
    const octets = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const source = context.createBufferSource();
    source.buffer = await context.decodeAudioData(octets.buffer);
    source.connect(out);
    source.start();
  };
})()`;

/**
 * Gives a page a microphone that speaks when the test says so, where Chromium's fake one speaks by the clock: what depends on
 * the moment then happens at that moment, on a slow machine too. The page is loaded anew.
 */
export async function scriptMicrophone(page: Page): Promise<{ say(text: string): Promise<void> }> {
  await page.addInitScript(SCRIPTED_MICROPHONE);
  await page.reload();
  return {
    say: async (text) => {
      await page.evaluate(sayExpression(text));
    },
  };
}

/** What a page with the scripted microphone evaluates to say this. */
export function sayExpression(text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'parley-say-'));
  const wav = readFileSync(speakToWav(directory, text, 0.1, 0.1)).toString('base64');
  rmSync(directory, { recursive: true, force: true });
  return `window.say(${JSON.stringify(wav)})`;
}
