import { type Address, isIpv6 } from '../../net/udp/index.ts';
import type { ForwarderConfig } from '../config.ts';

/** What sets one worker of a forwarder apart. */
export interface WorkerPlace {
  /** Its number, from 0. */
  readonly index: number;
}

/**
 * Where a worker talks to backends from: a port of its own, since what backends send back, answers to its probes above all, must
 * come to it and not to another worker. Ports that are configured are counted up, others are the system's choice.
 */
export function workerTunnels(
  { listen, tunnel }: Pick<ForwarderConfig, 'listen' | 'tunnel'>,
  index: number,
): Address[] {
  if (tunnel !== undefined)
    return tunnel.map(({ host, port }) => ({ host, port: port === 0 ? 0 : port + index }));
  const ofFamily = (wanted: boolean) => listen.find(({ host }) => isIpv6(host) === wanted);
  return [ofFamily(false), ofFamily(true)].flatMap((address) =>
    address === undefined ? [] : { host: address.host, port: 0 },
  );
}
