import { readdirSync, readFileSync } from 'node:fs';
import type { Profiler as Inspector } from 'node:inspector';
import { Session } from 'node:inspector/promises';
import { join } from 'node:path';

/** Microseconds between samples of the profiler. */
const SAMPLE_INTERVAL_MICROS = 200;
/** Functions that are kept of a profile, dearest first. */
const KEPT_LINES = 40;
const IDLE = new Set(['(idle)', '(root)']);

/** What one function cost by itself, without those it called. */
export interface CostLine {
  readonly name: string;
  readonly where: string;
  /** Of the time that the process was not idle, 0 to 1. */
  readonly share: number;
}

/** Profiles this process between `start` and `stop`. */
export class Profiler {
  readonly #session = new Session();

  async start(): Promise<void> {
    this.#session.connect();
    await this.#session.post('Profiler.enable');
    await this.#session.post('Profiler.setSamplingInterval', { interval: SAMPLE_INTERVAL_MICROS });
    await this.#session.post('Profiler.start');
  }

  async stop(): Promise<CostLine[]> {
    const { profile } = await this.#session.post('Profiler.stop');
    this.#session.disconnect();
    return dearest(profile);
  }
}

/** Self time by function. What native code costs counts for the JavaScript function of Node that called it. */
function dearest(profile: Inspector.Profile): CostLine[] {
  const byId = new Map(profile.nodes.map((node) => [node.id, node]));
  const micros = new Map<string, { name: string; where: string; micros: number }>();
  let total = 0;
  profile.samples?.forEach((id, index) => {
    const frame = byId.get(id)?.callFrame;
    if (frame === undefined || IDLE.has(frame.functionName)) return;
    const spent = Math.max(0, profile.timeDeltas?.[index] ?? 0);
    const name = frame.functionName || '(anonymous)';
    const where = place(frame.url, frame.lineNumber);
    const key = `${name} ${where}`;
    const line = micros.get(key) ?? { name, where, micros: 0 };
    line.micros += spent;
    total += spent;
    micros.set(key, line);
  });
  return [...micros.values()]
    .sort((a, b) => b.micros - a.micros)
    .slice(0, KEPT_LINES)
    .map(({ name, where, micros: spent }) => ({ name, where, share: total > 0 ? spent / total : 0 }));
}

function place(url: string, line: number): string {
  if (url === '') return 'native';
  const short = url.replace(/^file:\/\//, '').replace(/^.*\/(proto|server|lb|test|node_modules)\//, '$1/');
  return line > 0 ? `${short}:${line + 1}` : short;
}

/** The costs in the profiles that a process and its threads left in a folder by `--cpu-prof`: those of the busiest. */
export function readCosts(directory: string): CostLine[] {
  const texts = readdirSync(directory)
    .filter((file) => file.endsWith('.cpuprofile'))
    .map((file) => readFileSync(join(directory, file), 'utf8'));
  const [longest] = texts.sort((a, b) => b.length - a.length);
  return longest === undefined ? [] : dearest(JSON.parse(longest) as Inspector.Profile);
}
