import { StartupError } from '../net/startup.ts';

/** The first descriptor that is handed over, as systemd's sd_listen_fds(3) has it. */
const FIRST_DESCRIPTOR = 3;

/**
 * The descriptors of UDP sockets that the starter of this process opened for it, as systemd does for a socket unit: one
 * for each `listen` address, in order. Such a socket outlives this process: while it is started again packets wait in the
 * kernel, and callers see no ICMP "port unreachable", which ends a session in Chromium. Throws `StartupError` for a count
 * that is none.
 */
export function inheritedDescriptors(
  environment: Readonly<Record<string, string | undefined>>,
  processId: number,
): number[] {
  const { LISTEN_FDS: count, LISTEN_PID: owner } = environment;
  // Variables are inherited further than descriptors: these may be meant for a process above.
  if (count === undefined || (owner !== undefined && owner !== String(processId))) return [];
  if (!/^\d{1,3}$/.test(count)) {
    throw new StartupError(`LISTEN_FDS must be the number of sockets handed over, not "${count}".`);
  }
  return Array.from({ length: Number(count) }, (_, i) => FIRST_DESCRIPTOR + i);
}
