import { readFileSync } from 'node:fs';
import { availableParallelism, loadavg } from 'node:os';

/** The kernel counts CPU time in these, in ms. */
const TICK_MS = 10;

/** How busy this machine was between two moments: what it was asked to do, and what else ran on it. */
export interface MachineReport {
  readonly cores: number;
  /** Processes that ran or wanted to, averaged over a minute, at the beginning and at the end. */
  readonly loadBefore: number;
  readonly loadAfter: number;
  /** Share of all its cores' time that was used, 0 to 1; undefined where the system does not say. */
  readonly busyShare: number | undefined;
}

interface Moment {
  readonly load: number;
  readonly busyTicks: number;
  readonly allTicks: number;
}

function look(): Moment {
  const [load] = loadavg();
  const [, ...ticks] = (readLine('/proc/stat') ?? '').split(/\s+/).map(Number);
  const allTicks = ticks.slice(0, 8).reduce((sum, value) => sum + value, 0);
  // Idle, and waiting for a disk.
  const restTicks = (ticks[3] ?? 0) + (ticks[4] ?? 0);
  return { load: load!, busyTicks: allTicks - restTicks, allTicks };
}

function readLine(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').split('\n', 1)[0];
  } catch {
    return undefined;
  }
}

/** Watches this machine from when it is made. */
export class MachineWatch {
  readonly #before = look();

  report(): MachineReport {
    const before = this.#before;
    const after = look();
    const allTicks = after.allTicks - before.allTicks;
    return {
      cores: availableParallelism(),
      loadBefore: before.load,
      loadAfter: after.load,
      busyShare: allTicks > 0 ? (after.busyTicks - before.busyTicks) / allTicks : undefined,
    };
  }
}

/** CPU time that a process has used since it was started, and how long ago that was, both in ms. */
export function ageOf(pid: number): { readonly cpuMs: number; readonly upMs: number } {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // Fields 14, 15 and 22; the second one, the name, may hold spaces.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const [user, system, startedTicks] = [fields[11], fields[12], fields[19]].map(Number);
  const machineMs = Number((readLine('/proc/uptime') ?? '0').split(' ')[0]) * 1000;
  return { cpuMs: (user! + system!) * TICK_MS, upMs: machineMs - startedTicks! * TICK_MS };
}
