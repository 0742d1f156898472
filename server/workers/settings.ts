import type { Address } from '../../proto/quic/index.ts';
import { workerName } from '../../proto/quic-lb/index.ts';
import type { BackendConfig } from '../config.ts';

/** Ports of workers are counted up from the first one's; 0 leaves each to the system. */
const up = (address: Address | undefined, worker: number): Address | undefined =>
  address && { host: address.host, port: address.port === 0 ? 0 : address.port + worker };

/**
 * The settings of one worker: its own entry of the cluster file, and ports of its own. Operators ask the supervisor, so its `metrics`
 * port is not opened.
 */
export function workerSettings(config: BackendConfig, worker: number): BackendConfig {
  return {
    ...config,
    name: workerName(config.name, worker),
    tunnel: up(config.tunnel, worker),
    public: up(config.public, worker),
    preferredAddress: up(config.preferredAddress, worker),
    tcp: up(config.tcp, worker),
    metrics: undefined,
  };
}
