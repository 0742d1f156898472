import assert from 'node:assert/strict';
import type { Page } from 'playwright-core';
import { type PageReport, Scene, type SceneOptions } from './scene.ts';
import { type ScriptedMicrophone, scriptMicrophone } from './scripted-microphone.ts';
import { assertAllSpokenArrived, assertEachSentenceAnswered } from './upstream-exact.ts';
import { UpstreamLog } from './upstream-log.ts';

const SENTENCES = [
  'One two three four five six seven eight nine ten.',
  'The quick brown fox jumps over the lazy dog today.',
  'Here is a third sentence, as long as the others.',
  'Whatever carries the call, it goes on and on.',
  'Five hundred miles are longer than a mile or two.',
];

/** What the page's transcript shows. */
export interface ShownTurn {
  readonly speaker: 'you' | 'answer';
  readonly text: string;
  readonly pending: boolean;
}

/** A call in the real page of which everything is kept: what was said, what each upstream was given and gave, and what was shown. */
export class RecordedCall {
  readonly scene: Scene;
  readonly page: Page;
  readonly microphone: ScriptedMicrophone;
  readonly log: UpstreamLog;
  /** Sentences that were said. */
  #said = 0;

  private constructor(scene: Scene, page: Page, microphone: ScriptedMicrophone, log: UpstreamLog) {
    this.scene = scene;
    this.page = page;
    this.microphone = microphone;
    this.log = log;
  }

  /** Opens the page of a scene that was opened with this log, and calls. */
  static async begin(scene: Scene, log: UpstreamLog): Promise<RecordedCall> {
    const page = await scene.openPage();
    const microphone = await scriptMicrophone(page);
    await page.click('#talk');
    await scene.until(page, 'the call is ready', ({ stats }) => stats?.backend !== undefined);
    return new RecordedCall(scene, page, microphone, log);
  }

  report(): Promise<PageReport> {
    return this.scene.report(this.page);
  }

  until(what: string, condition: (report: PageReport) => boolean, timeoutMs?: number): Promise<PageReport> {
    return this.scene.until(this.page, what, condition, timeoutMs);
  }

  /** Says a sentence, another one each time. Fulfils when it has begun, with its length in ms. */
  say(text = SENTENCES[this.#said % SENTENCES.length]!): Promise<number> {
    this.#said += 1;
    return this.microphone.say(text);
  }

  /** The answer to each sentence so far was heard to its end. */
  answered(timeoutMs?: number): Promise<PageReport> {
    const heard = ({ answers }: PageReport) =>
      answers.filter(({ complete, finished }) => complete && finished).length === this.#said;
    return this.until(`${this.#said} answers were heard`, heard, timeoutMs);
  }

  /** From now on the page notes when the call is without a session and when it has one again, by `Date.now()`; fulfils with the way to read it. */
  async markStates(): Promise<() => Promise<{ reconnecting?: number; resumed?: number }>> {
    await this.page.evaluate(`{
      window.marks = {};
      window.parley.call.on('state', (state) => { window.marks[state] ??= Date.now(); });
      window.parley.call.on('resumed', () => { window.marks.resumed ??= Date.now(); });
    }`);
    return () => this.page.evaluate('window.marks') as Promise<{ reconnecting?: number; resumed?: number }>;
  }

  /** Hangs up; asserts that nothing was lost or doubled, whichever upstreams had a part in it. */
  async endWhole(): Promise<PageReport> {
    const shown = await this.shown();
    await this.page.click('#talk');
    const report = await this.until('the call ended', ({ state }) => state === 'idle');
    const spoken = await this.microphone.spoken();
    assert.equal(report.microphone?.samples, spoken.length / 2);
    assertAllSpokenArrived(this.log, spoken);
    assertEachSentenceAnswered(this.log, spoken, report, this.#said);
    const turns = Array.from({ length: this.#said }, () => ['you', 'answer']).flat();
    assert.deepEqual(
      shown.map(({ speaker }) => speaker),
      turns,
      `the page shows each turn once: ${JSON.stringify(shown)}`,
    );
    assert(!shown.some(({ pending }) => pending), 'no turn waits for its words');
    return report;
  }

  /** The turns that the page shows. */
  shown(): Promise<ShownTurn[]> {
    return this.page.evaluate(`[...document.querySelectorAll('#transcript .turn')].map((turn) => ({
      speaker: turn.classList.contains('turn-you') ? 'you' : 'answer',
      text: turn.querySelector('.words').textContent,
      pending: turn.dataset.pending !== undefined,
    }))`) as Promise<ShownTurn[]>;
  }
}

/** Opens a scene whose upstreams are logged. */
export async function openLogged(
  options: Omit<SceneOptions, 'text' | 'observer'>,
  open: (options: SceneOptions) => Promise<Scene> = (all) => Scene.open(all),
): Promise<{ scene: Scene; log: UpstreamLog }> {
  const log = new UpstreamLog();
  return { scene: await open({ ...options, text: 'not heard', observer: log }), log };
}
