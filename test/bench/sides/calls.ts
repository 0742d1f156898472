import { loadavg } from 'node:os';
import type { Page } from 'playwright-core';
import { alignWords, type Window } from '../../support/aligned-words.ts';
import type { PathConditions } from '../../support/netpath/index.ts';
import { scriptMicrophone } from '../../support/scripted-microphone.ts';
import { SpokenWords, type WordsRecord } from '../../support/spoken-words.ts';
import { type Carrier, CLEAR, type SideStage } from './stage.ts';
import { pause, until, within } from './waiting.ts';

/** Seven seconds, as the speech synthesizer says it: no sentence of it is like another. */
const SENTENCES = [
  'The quick brown fox jumps over the lazy dog, while seven wise wizards watch from the hill and wonder why. ',
  'Those who have crossed that river in the month of April would not call its cold grey water a good friend of swimmers. ',
  'Please send two hundred and forty boxes of oranges to the harbour before the last ship of this evening leaves. ',
  'My uncle paints small wooden boats in every colour that you can buy, and gives them away to children in summer. ',
  'When the old clock in the kitchen strikes eleven, the cat wakes up, stretches, and walks slowly out of the door. ',
];
const SENTENCE_MS = 7000;
/** Longest wait for a call to stand before anything is said, in ms. */
const CONNECT_MS = 30_000;

/** Behind the speech, for the jitter buffer of WebRTC, whose counts say nothing of how far it is. In ms. */
const SETTLE_MS = 1500;

/** One call of words. */
export interface WordsCall {
  readonly carrier: Carrier;
  /** Of the path, from when the call stands to its end. */
  readonly conditions: PathConditions;
  /** How long is spoken. */
  readonly speechMs: number;
  /** How long is waited behind that for what is late. What has come by then has come. */
  readonly graceMs: number;
  /** Done when so much was spoken, in ms. */
  readonly incident?: { readonly afterMs: number; readonly happens: () => Promise<void> };
}

/** What became of one. */
export interface WordsOutcome {
  readonly record: WordsRecord;
  /** All that is audible in it. */
  readonly windows: readonly Window[];
  /** Of the time of the speech, as libwebrtc counts: samples that it put out, and made up. Absent for others. */
  readonly webrtc: { readonly total: number; readonly concealed: number } | undefined;
  readonly notes: string;
  /** Of the machine, over the last minute. */
  readonly load: number;
}

/** What is said for so long. */
function textOf(speechMs: number): string {
  const count = Math.max(1, Math.round(speechMs / SENTENCE_MS));
  return Array.from({ length: count }, (_, i) => SENTENCES[i % SENTENCES.length]).join('');
}

/** Connects over a clear path, speaks over the path as it is to be, and waits for what is late. */
export async function callOfWords(stage: SideStage, call: WordsCall): Promise<WordsOutcome> {
  const { carrier, conditions, speechMs, graceMs, incident } = call;
  const words = new SpokenWords();
  stage.observer = words.observer;
  const page = await stage.openPage();
  await words.watch(page);
  const microphone = await scriptMicrophone(page);
  await page.waitForFunction('window.sides !== undefined');
  await stage.path.set({ ...CLEAR, delayMs: conditions.delayMs ?? 0 });
  await within(CONNECT_MS, page.evaluate(`sides.${carrier}.talk()`), `${carrier} did not connect`);
  await until(() => words.heardSamples > 0, CONNECT_MS, `nothing came by ${carrier}`);
  await stage.path.set(conditions);
  const before = carrier === 'webrtc' ? await stage.webrtc.ask<Totals>({ op: 'stats' }) : undefined;
  const lengthMs = await microphone.say(textOf(speechMs));
  const end = performance.now() + lengthMs;
  if (incident !== undefined) {
    await pause(incident.afterMs);
    await incident.happens();
  }
  await pause(end - performance.now());
  const after = carrier === 'webrtc' ? await stage.webrtc.ask<Totals>({ op: 'stats' }) : undefined;
  const record = await waitForRest(words, page, graceMs);
  const notes = (await page.evaluate(`sides.${carrier}.notes()`)) as string;
  await stage.closePage(page, carrier);
  const [load] = loadavg();
  return {
    record,
    windows: alignWords(record),
    webrtc: before &&
      after && { total: after.total - before.total, concealed: after.concealed - before.concealed },
    notes,
    load: load!,
  };
}

interface Totals {
  readonly total: number;
  readonly concealed: number;
}

/** The record once all that was said up to now has come, or the time is over. */
async function waitForRest(words: SpokenWords, page: Page, graceMs: number): Promise<WordsRecord> {
  const { said, taken } = await words.record(page);
  await pause(SETTLE_MS);
  const end = performance.now() + graceMs - SETTLE_MS;
  while (performance.now() < end && words.heardSamples < said.length) await pause(50);
  const record = await words.record(page);
  // Silence that was said meanwhile is no part of it.
  return {
    ...record,
    said: record.said.subarray(0, said.length),
    taken: record.taken.slice(0, taken.length),
  };
}

/** How late each window came, in ms, by when it was said, in s from a moment on. Windows that did not come break the line. */
export function delayLine(windows: readonly Window[], fromMs: number): { x: number; y: number }[] {
  return windows.map(({ saidAt, heardAt }) => ({
    x: (saidAt - fromMs) / 1000,
    y: heardAt === undefined ? Number.NaN : Math.max(1, heardAt - saidAt),
  }));
}
