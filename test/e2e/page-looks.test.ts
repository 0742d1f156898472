import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Scene } from '../support/scene.ts';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** Where pictures are put, for people to look at; none are made without it. */
const PICTURES = process.env.PARLEY_PICTURES;
const WIDTHS = [390, 768, 1440] as const;

let scene: Scene;
beforeAll(async () => {
  scene = await Scene.open({
    text: 'Show me Mars, please.',
    backends: 1,
    breakable: true,
    holdSocket: true,
    callHost: 'localhost',
  });
});
afterAll(() => scene?.close());

interface Finding {
  readonly id: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

/** What axe-core finds wrong. */
async function findings(page: Page): Promise<readonly string[]> {
  await page.evaluate(AXE);
  const { violations } = (await page.evaluate('axe.run(document, { resultTypes: ["violations"] })')) as {
    violations: Finding[];
  };
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html}\n${failureSummary}`),
  );
}

async function look(page: Page, name: string): Promise<void> {
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: width < 768 ? 844 : 900 });
    const wide = await page.evaluate('document.documentElement.scrollWidth');
    expect(wide, `${name}, ${width} px: nothing sticks out`).toBeLessThanOrEqual(width);
    if (PICTURES === undefined) continue;
    await page.evaluate(
      'new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))',
    );
    await page.screenshot({ path: join(PICTURES, `${name}-${width}.png`), fullPage: true });
  }
}

describe.each(['light', 'dark'] as const)('the page in %s colours', (colorScheme) => {
  it('before, in and after a call: axe-core finds nothing, and nothing sticks out at 390, 768 and 1440 px', async () => {
    const page = await scene.openPage();
    await page.emulateMedia({ colorScheme });
    await page.locator('#faults').waitFor();
    expect(await findings(page)).toEqual([]);
    await look(page, `${colorScheme}-idle`);
    await page.click('#talk');
    await scene.until(page, 'the call is ready', ({ state }) => state === 'ready');
    await scene.until(page, 'an answer is heard', ({ answers }) => answers.length > 0);
    await page.click('text=Show me Saturn');
    await page.locator('#sky-caption', { hasText: 'Saturn.' }).waitFor();
    await page.click('[data-fault="address"][aria-disabled="false"]');
    await page.locator('#fault-lines', { hasText: 'ms of silence' }).waitFor();
    expect(await findings(page)).toEqual([]);
    await look(page, `${colorScheme}-call`);
    await page.evaluate(`parley.call.send({ type: 'session.update', session: { type: 'no such type' } })`);
    await page.locator('#timeline .entry-bad').waitFor();
    expect(await findings(page)).toEqual([]);
    await page.click('#mute');
    expect(await findings(page)).toEqual([]);
    await page.click('#talk');
    await scene.until(page, 'the call ended', ({ state }) => state === 'idle');
    expect(await findings(page)).toEqual([]);
    await page.close();
  });
});

describe('what the model may do on the page', () => {
  it('a written wish turns the camera, another changes the colours, and the model is told what is seen', async () => {
    const page = await scene.openPage();
    await page.emulateMedia({ colorScheme: 'light' });
    const ground = () => page.evaluate('getComputedStyle(document.documentElement).backgroundColor');
    const light = await ground();
    await page.fill('#words', 'Show me Mars');
    await page.press('#words', 'Enter');
    await page.locator('#status', { hasText: 'Press Talk first' }).waitFor();
    await page.click('#talk');
    await scene.until(page, 'the call is ready', ({ state }) => state === 'ready');
    await page.press('#words', 'Enter');
    await page.locator('#sky-caption', { hasText: 'Mars. Its day lasts 24.6 hours' }).waitFor();
    expect(await page.getAttribute('#sky', 'aria-label')).toBe('Mars, drawn');
    const said = page.locator('#transcript .turn');
    await said.filter({ hasText: 'Show me Mars' }).waitFor();
    await said.filter({ hasText: 'The function answered: The page shows Mars. Its day lasts' }).waitFor();
    await page.fill('#words', 'Now make it dark!');
    await page.press('#words', 'Enter');
    await page.locator('html[data-theme="dark"]').waitFor();
    expect(await ground()).not.toBe(light);
    await page.click('#talk');
    await page.close();
  });

  it('all of it can be reached and used by the keyboard alone, and what has the focus shows it', async () => {
    const page = await scene.openPage();
    await page.locator('#faults').waitFor();
    const focused = () =>
      page.evaluate(`(() => {
        if (document.activeElement === document.body) return { name: '', outline: '' };
        const { id, dataset, textContent } = document.activeElement;
        return { name: id || dataset.fault || textContent.trim(), outline: getComputedStyle(document.activeElement).outlineStyle };
      })()`) as Promise<{ name: string; outline: string }>;
    const reached: string[] = [];
    for (let i = 0; i < 40; i++) {
      await page.keyboard.press('Tab');
      const { name, outline } = await focused();
      if (reached.includes(name) || name === '') break;
      reached.push(name);
      expect(outline, `the focus on ${name}`).not.toBe('none');
    }
    expect(reached).toEqual(
      expect.arrayContaining([
        'talk',
        'words',
        'Send',
        'Show me Mars',
        'microphone-choice',
        'address',
        'cut',
      ]),
    );
    await page.focus('#talk');
    await page.keyboard.press('Space');
    await scene.until(page, 'the call is ready', ({ state }) => state === 'ready');
    await page.keyboard.press('Enter');
    await scene.until(page, 'the call ended', ({ state }) => state === 'idle');
    await page.close();
  });
});
