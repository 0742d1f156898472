import type { Logger } from 'pino';
import type { RefusedPacket } from './net/index.ts';

/** Between two lines of one kind, in ms: anyone who finds the tunnel port can send there. */
const QUIET_MS = 60_000;

const SENTENCES: Readonly<Record<RefusedPacket, (host: string) => string>> = {
  'not-a-forwarder': (host) =>
    `Packets from ${host} are dropped: the cluster file does not name it in "forwarders". If a forwarder runs there, add it and reload.`,
  'bad-tag': (host) =>
    `Packets from the forwarder at ${host} are dropped for a wrong tag: its cluster file has another "routingKey" than the one here. Give both the same file.`,
  'not-spp': (host) =>
    `Packets from ${host} are dropped: they do not come as a forwarder sends them. Clients call the forwarder's address, not this one.`,
};

/**
 * Says in the log what a tunnel port drops, once a minute for each reason: a forwarder with another cluster file sees only a backend
 * that does not answer.
 */
export function refusedPacketLog(
  log: Logger,
  now: () => number = performance.now.bind(performance),
): (why: RefusedPacket, host: string) => void {
  const saidAt: Partial<Record<RefusedPacket, number>> = {};
  return (why, host) => {
    const at = now();
    if (at - (saidAt[why] ?? Number.NEGATIVE_INFINITY) < QUIET_MS) return;
    saidAt[why] = at;
    log.warn({ reason: why, forwarder: host }, SENTENCES[why](host));
  };
}
