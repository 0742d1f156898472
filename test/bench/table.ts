import type { CostLine } from './profile.ts';

/** A table in plain text: the first column to the left, figures to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
      .join('  ')
      .trimEnd();
  const rule = widths.map((width) => '-'.repeat(width));
  return [head, rule, ...rows].map(line).join('\n');
}

/** The dearest functions of a profile, as text. */
export function costTable(title: string, costs: readonly CostLine[], count = 25): string {
  const rows = costs
    .slice(0, count)
    .map(({ name, where, share }) => [name, `${(share * 100).toFixed(1)} %`, where]);
  return `${title}\n${table(['function', 'self', 'where'], rows)}`;
}

export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}
