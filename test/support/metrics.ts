/** The sum of all series of a metric in Prometheus' text form whose labels include `labels`; 0 when there is none. */
export function metric(text: string, name: string, labels: Readonly<Record<string, string>> = {}): number {
  let sum = 0;
  for (const line of text.split('\n')) {
    const match = /^([a-zA-Z_:]+)(?:\{([^}]*)\})? (\S+)$/.exec(line);
    if (match === null || match[1] !== name) continue;
    const has = (key: string) => (match[2] ?? '').split(',').includes(`${key}="${labels[key]}"`);
    if (Object.keys(labels).every(has)) sum += Number(match[3]);
  }
  return sum;
}
