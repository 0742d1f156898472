import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

const read = (name: string) =>
  readFileSync(new URL(`../../../browser/page/${name}`, import.meta.url), 'utf8');
const sheets = { light: [read('page.css')], dark: [read('page.css'), read('dark.css')] };

/** Colours of `:root` in one scheme; the dark ones override the light ones. */
function colours(scheme: 'light' | 'dark'): Map<string, string> {
  const blocks = sheets[scheme].map((css) => /:root \{([^}]*)\}/.exec(css)?.[1] ?? '');
  const found = new Map<string, string>();
  for (const block of blocks) {
    for (const [, name, value] of block.matchAll(/--([\w-]+): (#[0-9a-f]{6});/g)) found.set(name!, value!);
  }
  return found;
}

/** Relative luminance and contrast as WCAG 2.2 defines them. */
function luminance(hex: string): number {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const share = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
}

function contrast(one: string, other: string): number {
  const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high! + 0.05) / (low! + 0.05);
}

/** Text, and what it stands on. */
const PAIRS: readonly (readonly [string, string])[] = [
  ['ink', 'ground'],
  ['ink', 'card'],
  ['ink', 'bad-ground'],
  ['ink-soft', 'ground'],
  ['ink-soft', 'card'],
  ['accent-ink', 'accent'],
  ['ground', 'hang-up'],
  ['you', 'ground'],
  ['answer', 'ground'],
  ['good', 'card'],
  ['change', 'change-ground'],
  ['change', 'card'],
  ['bad', 'card'],
  ['bad', 'bad-ground'],
  ['accent', 'ground'], // the focus ring
];

describe.each(['light', 'dark'] as const)('the page in %s colours', (scheme) => {
  it.each(PAIRS)('%s on %s can be read by weak eyes (WCAG AA, 4.5 to 1)', (text, ground) => {
    const known = colours(scheme);
    expect(contrast(known.get(text)!, known.get(ground)!)).toBeGreaterThanOrEqual(4.5);
  });
});
