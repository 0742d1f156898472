import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { backendMetrics, forwarderMetrics, workerMetrics } from '../../support/doc-tables.ts';
import { DEPLOY } from './manifests.ts';

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string };
}
interface Panel {
  readonly id: number;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number };
  readonly targets: readonly { readonly expr: string }[];
}

/** Names that an expression may have: Parley's, those of histograms in their three forms, and two of Node's. */
let known: Set<string>;
beforeAll(async () => {
  const all = [...(await backendMetrics()), ...(await forwarderMetrics()), ...(await workerMetrics())];
  known = new Set(['process_cpu_seconds_total', 'process_resident_memory_bytes']);
  for (const { name, type } of all) {
    if (type !== 'histogram') known.add(name);
    else for (const suffix of ['_bucket', '_sum', '_count']) known.add(name + suffix);
  }
});

const read = (...path: string[]) => readFileSync(join(DEPLOY, ...path), 'utf8');
const namesIn = (expr: string) => expr.match(/\b(?:parley|process)_\w+/g) ?? [];

/** Brackets that close in order, and a name in every expression: what a slip of the finger breaks. */
function expectSound(expr: string, where: string): void {
  const open: string[] = [];
  const pairs: Record<string, string> = { ')': '(', ']': '[', '}': '{' };
  for (const letter of expr.replace(/"[^"]*"/g, '""')) {
    if ('([{'.includes(letter)) open.push(letter);
    else if (letter in pairs) expect(open.pop(), `${where}: ${expr}`).toBe(pairs[letter]);
  }
  expect(open, `${where}: ${expr}`).toEqual([]);
  expect(namesIn(expr).length, where).toBeGreaterThan(0);
  for (const name of namesIn(expr)) expect(known, `${where}: ${name}`).toContain(name);
}

describe.each(['calls', 'forwarders'])('the dashboard of %s', (name) => {
  const { panels, uid } = JSON.parse(read('grafana', `${name}.json`)) as { uid: string; panels: Panel[] };

  it('asks for metrics that there are, in panels of their own place', () => {
    expect(uid).toBe(`parley-${name}`);
    expect(panels.length).toBeGreaterThan(10);
    for (const { title, targets } of panels) for (const { expr } of targets) expectSound(expr, title);
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    expect(new Set(panels.map(({ gridPos: { x, y } }) => `${x} ${y}`)).size).toBe(panels.length);
  });
});

it('alerts ask for metrics that there are, and say what happened and what to do', () => {
  const { groups } = parse(read('prometheus', 'alerts.yaml'), { strict: true }) as {
    groups: { rules: Rule[] }[];
  };
  const rules = groups.flatMap((group) => group.rules);
  expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
  for (const { alert, expr, labels, annotations } of rules) {
    expectSound(expr, alert);
    expect(['page', 'ticket'], alert).toContain(labels.severity);
    expect(annotations.summary, alert).toMatch(/^\S.*\.$/);
    expect(annotations.description, alert).toMatch(/^\S.*\.$/);
  }
});

it('every histogram of a backend is on a dashboard', async () => {
  const shown = read('grafana', 'calls.json');
  for (const { name, type } of await backendMetrics())
    if (type === 'histogram') expect(shown).toContain(`${name}_bucket`);
});
