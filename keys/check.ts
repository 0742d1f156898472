import { setTimeout as pause } from 'node:timers/promises';
import { loadClusterFile } from '../net/cluster/index.ts';
import { StartupError } from '../net/startup.ts';
import { rotationPhase } from '../proto/quic-lb/index.ts';

const METRIC = 'parley_forwarder_rotation_packets_total';

/** Packets that one forwarder routed by their CID, by config rotation. */
export type RotationCounts = ReadonlyMap<number, number>;

/** The counts in a forwarder's metrics; those of its workers add up. */
export function rotationCounts(text: string): RotationCounts {
  const counts = new Map<number, number>();
  for (const line of text.split('\n')) {
    const [, labels = '', value] = new RegExp(`^${METRIC}\\{([^}]*)\\} (\\S+)$`).exec(line) ?? [];
    const rotation = /rotation="(\d)"/.exec(labels)?.[1];
    if (rotation === undefined) continue;
    counts.set(Number(rotation), (counts.get(Number(rotation)) ?? 0) + Number(value));
  }
  return counts;
}

async function ask(url: string): Promise<RotationCounts> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(5000) });
    if (!response.ok) throw new Error(`status ${response.status}`);
    const text = await response.text();
    if (!text.includes(METRIC))
      throw new StartupError(
        `${url} is no forwarder's: it has no ${METRIC}. Give the "metrics" of the forwarders.`,
      );
    return rotationCounts(text);
  } catch (error) {
    if (error instanceof StartupError) throw error;
    const { cause, message } = error as Error;
    throw new StartupError(`${url} does not answer: ${(cause as Error | undefined)?.message ?? message}.`);
  }
}

/**
 * Says in which phase of a rotation a cluster file is; with the metrics of its forwarders also what came of it, by what they count
 * within `seconds`.
 */
export async function checkRotation(
  path: string,
  urls: readonly string[],
  seconds: number,
): Promise<string[]> {
  const now = rotationPhase(loadClusterFile(path).cluster.quicLb);
  const lines = [phaseSentence(now)];
  if (urls.length === 0) return lines;
  const before = await Promise.all(urls.map(ask));
  await pause(seconds * 1000);
  const after = await Promise.all(urls.map(ask));
  const rotations = new Set(after.flatMap((counts) => [...counts.keys()]));
  let ofLast = 0;
  for (const rotation of [...rotations].sort()) {
    const packets = after.map((counts, i) => (counts.get(rotation) ?? 0) - (before[i]?.get(rotation) ?? 0));
    const sum = packets.reduce((all, own) => all + Math.max(0, own), 0);
    if (now.phase === 'moving' && rotation === now.last) ofLast = sum;
    lines.push(`Config rotation ${rotation}: ${sum} packets in ${seconds} s, at ${urls.length} forwarders.`);
  }
  if (now.phase === 'moving')
    lines.push(
      ofLast === 0
        ? `No connection has CIDs of ${now.last} that sends: it may be taken out.`
        : `Connections still send with CIDs of ${now.last}: wait before it is taken out.`,
    );
  return lines;
}

/** A phase of a rotation, in a sentence. */
export function phaseSentence(now: ReturnType<typeof rotationPhase>): string {
  switch (now.phase) {
    case 'settled':
      return `settled: config rotation ${now.issued} is the only one.`;
    case 'announced':
      return `announced: config rotation ${now.issued} is issued, and ${now.next} is known.`;
    case 'moving':
      return `moving: config rotation ${now.issued} is issued, and ${now.last} is still decoded.`;
    case 'unclear':
      return `unclear: config rotation ${now.issued} is issued, and the other entries are not the next or the last one.`;
  }
}
