import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { speakToWav } from './speech.ts';

/**
 * In the page: a microphone that is silent until it is told to say something. Only the hardware is replaced. What leaves the
 * worklet is copied, for comparison.
 */
const MICROPHONE = `(() => {
  let context, out;
  const spoken = [];
  navigator.mediaDevices.getUserMedia = async () => {
    context = new AudioContext();
    out = context.createMediaStreamDestination();
    // Without a source there would be no frames of silence either, for those who take the track itself.
    const silence = new ConstantSourceNode(context, { offset: 0 });
    silence.connect(out);
    silence.start();
    await context.resume();
    return out.stream;
  };
  window.say = async (base64) => {
    const octets = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const source = context.createBufferSource();
    source.buffer = await context.decodeAudioData(octets.buffer);
    source.connect(out);
    source.start();
    return source.buffer.duration * 1000;
  };
  window.AudioWorkletNode = class extends AudioWorkletNode {
    constructor(audio, name, options) {
      super(audio, name, options);
      if (name !== 'parley-microphone') return;
      this.port.addEventListener('message', ({ data }) => {
        if (data.type === 'chunk') spoken.push(new Uint8Array(data.samples.slice().buffer));
      });
    }
  };
  window.spoken = async () => {
    const reader = new FileReader();
    const read = new Promise((resolve) => { reader.onload = resolve; });
    reader.readAsDataURL(new Blob(spoken));
    await read;
    return reader.result.slice(reader.result.indexOf(',') + 1);
  };
})()`;

export interface ScriptedMicrophone {
  /** Says it; fulfils when that has begun, with its length in ms. */
  say(text: string): Promise<number>;
  /** All that left the worklet, PCM16. */
  spoken(): Promise<Buffer>;
}

/**
 * Gives a page a microphone that speaks when the test says so, where Chromium's fake one speaks by the clock: what depends on
 * the moment then happens at that moment, on a slow machine too. The page is loaded anew.
 */
export async function scriptMicrophone(page: Page): Promise<ScriptedMicrophone> {
  const sentences = new Map<string, string>();
  await page.addInitScript(MICROPHONE);
  await page.reload();
  return {
    say: async (text) => {
      const wav = sentences.get(text) ?? speak(text);
      sentences.set(text, wav);
      return (await page.evaluate(`window.say(${JSON.stringify(wav)})`)) as number;
    },
    spoken: async () => Buffer.from((await page.evaluate('window.spoken()')) as string, 'base64'),
  };
}

/** A WAV file as base64. */
function speak(text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'parley-say-'));
  try {
    return readFileSync(speakToWav(directory, text, 0.1, 0.1)).toString('base64');
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
