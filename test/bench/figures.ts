import { cpus, loadavg } from 'node:os';

/** The middle of some figures; of an even number, half-way between the two. NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const [lower, upper] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return lower === undefined || upper === undefined ? Number.NaN : (lower + upper) / 2;
}

/** The median, and behind it the least and the most where there are several: `12 (9–20)`. Figures that are not finite read `–`. */
export function withSpread(values: readonly number[], digits = 0): string {
  const show = (value: number) => (Number.isFinite(value) ? value.toFixed(digits) : '–');
  const middle = show(median(values));
  if (values.length < 2) return middle;
  return `${middle} (${show(Math.min(...values))}–${show(Math.max(...values))})`;
}

/** Where and when figures were taken, for the line below a table. */
export function circumstances(): string {
  const load = loadavg().map((value) => value.toFixed(1));
  return `${new Date().toISOString().slice(0, 10)}, ${cpus().length} cores, Node ${process.version}, load ${load.join(' ')} (1, 5, 15 min)`;
}
