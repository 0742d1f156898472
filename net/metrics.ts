import { Counter, type Registry } from 'prom-client';

/** One series of a counter: its labels and how far it has counted. */
export type Sample = readonly [labels: Record<string, string>, value: number];

/** A metric as the documentation lists it. */
export interface MetricDescription {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram' | 'summary';
  readonly help: string;
}

/** Prefix of Parley's own metrics; others are Node's, by prom-client. */
const OWN_PREFIX = 'parley_';

/** A counter of what is counted elsewhere in plain numbers: `read` is asked when the metrics are. Equal labels add up. */
export function readCounter(
  registry: Registry,
  name: string,
  help: string,
  labelNames: string[],
  read: () => Iterable<Sample>,
): void {
  new Counter({
    name,
    help,
    labelNames,
    registers: [registry],
    collect() {
      this.reset();
      for (const [labels, value] of read()) this.inc(labels, value);
    },
  });
}

/** Parley's own metrics in a registry, by name. */
export async function describeMetrics(registry: Registry): Promise<MetricDescription[]> {
  return (await registry.getMetricsAsJSON())
    .filter(({ name }) => name.startsWith(OWN_PREFIX))
    .map(({ name, type, help }) => ({ name, type: String(type) as MetricDescription['type'], help }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}
