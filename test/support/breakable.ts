import { type BreakablePart, FaultBench } from '../../server/start/faults.ts';
import { FaultRelay } from '../../server/start/relay/fault-relay.ts';
import type { Process, TestCluster } from './cluster.ts';

/** A cluster of a test behind the relay of `npm start`, with what its page's buttons do. */
export interface BreakableCluster {
  readonly relay: FaultRelay;
  readonly bench: FaultBench;
}

function breakable(name: string, process: Process): BreakablePart {
  return {
    name,
    restart: async (signal) => {
      await process.kill(signal);
      await process.start();
    },
    tell: () => {},
  };
}

/** Has the faults of `npm start` happen to a cluster of a test. */
export async function breakableCluster(cluster: TestCluster): Promise<BreakableCluster> {
  const relay = await FaultRelay.open(cluster.forwarderPort);
  const upstream: BreakablePart = {
    name: 'realtime',
    restart: () => Promise.reject(new Error('it is part of this process')),
    tell: (line) => void (line === 'end' && cluster.realtime.endAll('expired')),
  };
  const parts = {
    realtime: [upstream],
    backends: cluster.backends.map((backend, i) => breakable(`backend-${i + 1}`, backend)),
    forwarder: breakable('forwarder', cluster.forwarder),
  };
  return { relay, bench: new FaultBench(relay, () => parts) };
}
