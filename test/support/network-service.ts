import { readdirSync, readFileSync } from 'node:fs';

/** Names Chromium's process that holds its sockets. */
const NETWORK_SERVICE = '--utility-sub-type=network.mojom.NetworkService';

interface ProcessEntry {
  readonly pid: number;
  readonly parent: number;
  readonly command: string;
}

function processes(): ProcessEntry[] {
  const found: ProcessEntry[] = [];
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      // The name in brackets may hold spaces: the parent is the second field behind it.
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      const command = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ');
      found.push({ pid: Number(name), parent, command });
    } catch {
      // It ended meanwhile.
    }
  }
  return found;
}

/**
 * Kills the network service of the Chromium that this process started: every socket of its pages is closed under them, without a word
 * to the peer. Chromium starts another. (CDP's `Network.emulateNetworkConditions` leaves open WebTransport sessions alone: it tells the
 * page that it is offline, and no more.)
 */
export function killNetworkService(): void {
  const all = processes();
  const byPid = new Map(all.map((entry) => [entry.pid, entry]));
  const isOurs = (entry: ProcessEntry | undefined): boolean =>
    entry !== undefined && (entry.parent === process.pid || isOurs(byPid.get(entry.parent)));
  const found = all.filter((entry) => entry.command.includes(NETWORK_SERVICE) && isOurs(entry));
  if (found.length === 0) throw new Error('no network service of a Chromium of ours is running');
  for (const { pid } of found) process.kill(pid, 'SIGKILL');
}
