import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Scene } from '../support/scene.ts';

/** Later than the session stands, in ms, and longer than the caller's first words. */
const LATE_MS = 3000;
const FILE = '**/after-start.js';

let scene: Scene;
beforeAll(async () => {
  scene = await Scene.open({ text: 'Are you there?', backends: 1 });
});
afterAll(() => scene?.close());

/** Within which an answer to a sentence of two seconds is whole, in ms, on a busy machine. */
const ANSWERED_MS = 60_000;

/** Calls, and gives what was said and heard, how the call ended, or what is known of one in which nothing more happens. */
const CALL = `(async () => {
  const { connect } = await import('./parley.js');
  const call = connect(await (await fetch('/config.json')).json());
  const told = [];
  call.on('event', ({ type }) => told.push(type));
  for (const name of ['ended', 'reconnecting', 'serverError']) call.on(name, (what) => told.push([name, what]));
  const isWhole = () => told.includes('response.done') && call.answers.at(-1)?.complete;
  const failed = await call.ready.then(() => undefined, ({ code, message }) => ({ code, message }));
  if (failed) return { failed };
  const end = Date.now() + ${ANSWERED_MS};
  while (!isWhole()) {
    if (Date.now() > end) return { stuck: JSON.stringify([told, call.answers, call.stats], null, 1) };
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { answers } = call;
  await call.hangUp();
  return { hash: call.stats.microphone.hash, answer: answers.at(-1).receivedHash };
})()`;
const call = (page: Page) =>
  page.evaluate(CALL) as Promise<{
    failed?: { code: string; message: string };
    stuck?: string;
    hash?: string;
    answer?: string;
  }>;

describe('the file that takes answers, in Chromium', () => {
  it('comes 3 s late: what was said before it came, and the answer, are whole', async () => {
    const page = await scene.openPage('/example.html');
    await page.route(FILE, async (route) => {
      await new Promise((resolve) => setTimeout(resolve, LATE_MS));
      await route.continue();
    });
    const { failed, stuck, hash, answer } = await call(page);
    expect(failed).toBeUndefined();
    expect(stuck).toBeUndefined();
    const heard = scene.cluster.realtime.audit().at(-1)!;
    expect(heard.microphoneHash).toBe(hash);
    expect(heard.answers.at(-1)?.hash).toBe(answer);
    await page.close();
  });

  it('never comes: the call ends and says so', async () => {
    const page = await scene.openPage('/example.html');
    await page.route(FILE, (route) => route.abort());
    const { failed } = await call(page);
    expect(failed?.code).toBe('unreachable');
    expect(failed?.message).toContain('A part of this page that calls need could not be loaded.');
    await page.close();
  });
});
