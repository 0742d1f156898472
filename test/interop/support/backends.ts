import type { TestCluster } from '../../support/cluster.ts';
import { metric } from '../../support/metrics.ts';

/** The sum of a metric over all backends. */
export async function backendMetric(
  cluster: TestCluster,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<number> {
  const texts = await Promise.all(
    cluster.backendMetricsPorts.map(async (port) => (await fetch(`http://127.0.0.1:${port}/metrics`)).text()),
  );
  return texts.reduce((sum, text) => sum + metric(text, name, labels), 0);
}

/** Waits for a line of a backend's log that fulfils `wanted`. Throws with the last lines after 10 s. */
export async function backendLogged(
  cluster: TestCluster,
  wanted: (line: Record<string, unknown>) => boolean,
): Promise<void> {
  const end = Date.now() + 10_000;
  for (;;) {
    const lines = cluster.backends.flatMap(({ log }) => log).filter((line) => line.startsWith('{'));
    if (lines.some((line) => wanted(JSON.parse(line) as Record<string, unknown>))) return;
    if (Date.now() > end) throw new Error(`not logged; the last lines:\n${lines.slice(-10).join('\n')}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
