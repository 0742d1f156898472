import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Logger } from 'pino';
import { FileWatch } from '../net/file-watch.ts';
import { createLog } from '../net/log.ts';
import { StartupError } from '../net/startup.ts';
import { type Address, chooseSockets } from '../net/udp/index.ts';
import type { ClusterConfig } from '../proto/quic-lb/index.ts';
import { formatAddress } from '../proto/wire/index.ts';
import {
  type ForwarderConfig,
  type ForwarderConfigInput,
  parseForwarderConfig,
  readClusterFile,
} from './config.ts';
import type { Counters } from './counters.ts';
import { Forwarding } from './forwarder.ts';
import { serveMetrics } from './metrics.ts';
import type { BackendState } from './route.ts';
import { TcpForwarding } from './tcp.ts';

/** A running forwarder. */
export interface Forwarder {
  /** Where clients reach it. */
  readonly listening: readonly Address[];
  /** Where its metrics are, if anywhere. */
  readonly metrics: Address | undefined;
  readonly counters: Counters;
  states(): ReadonlyMap<string, BackendState>;
  /** Datagrams that full receive buffers have cost so far; 0 where the system does not say. */
  kernelDrops(): number;
  /** TCP connections that are passed through now. */
  tcpConnections(): number;
  /** Reads the cluster file again; a file with a fault changes nothing. Returns whether it was taken up. */
  reload(): boolean;
  /** Takes up this cluster at once, as a reload would. */
  use(cluster: ClusterConfig): void;
  close(): Promise<void>;
}

export interface StartOptions extends Omit<ForwarderConfigInput, 'cluster'> {
  /** Path of cluster.json, or what it holds. */
  readonly cluster: string | ClusterConfig;
  readonly logger?: Logger;
  /** Descriptors of UDP sockets that are bound to the first of `listen` already: see `inheritedDescriptors`. */
  readonly inherited?: readonly number[];
  /** Follow changes of the cluster file; on by default where a path is given. */
  readonly watch?: boolean;
}

function checked(options: StartOptions): ForwarderConfig {
  const { cluster, logger: _logger, watch: _watch, inherited: _inherited, ...settings } = options;
  const result = parseForwarderConfig(typeof cluster === 'string' ? { ...settings, cluster } : settings);
  if (!result.ok) throw new StartupError(result.faults.join('\n'));
  return result.value;
}

class RunningForwarder implements Forwarder {
  readonly #forwarding: Forwarding;
  readonly #logger: Logger;
  readonly #path: string | undefined;
  #tcp: TcpForwarding | undefined;
  #tcpLimits: ForwarderConfig['tcp'] | undefined;
  #watch: FileWatch | undefined;
  #statsTimer: NodeJS.Timeout | undefined;
  #metricsServer: { readonly address: Address; close(): Promise<void> } | undefined;

  constructor(forwarding: Forwarding, logger: Logger, path: string | undefined) {
    this.#forwarding = forwarding;
    this.#logger = logger;
    this.#path = path;
  }

  get listening(): readonly Address[] {
    return this.#forwarding.listening;
  }

  get metrics(): Address | undefined {
    return this.#metricsServer?.address;
  }

  get counters(): Counters {
    return this.#forwarding.counters;
  }

  states(): ReadonlyMap<string, BackendState> {
    return this.#forwarding.states();
  }

  kernelDrops(): number {
    return this.#forwarding.kernelDrops();
  }

  tcpConnections(): number {
    return this.#tcp?.connections ?? 0;
  }

  /** Takes TCP connections as soon as a backend does. */
  async #startTcp(cluster: ClusterConfig): Promise<void> {
    const limits = this.#tcpLimits;
    if (this.#tcp !== undefined || limits === undefined) return;
    if (cluster.backends.every(({ tcp }) => tcp === undefined)) return;
    const generation = () => this.#forwarding.generation;
    const { listening: listen, counters } = this;
    this.#tcp = new TcpForwarding({ listen, limits, counters, logger: this.#logger, generation });
    try {
      await this.#tcp.start();
    } catch (error) {
      this.#tcp = undefined;
      throw error;
    }
  }

  async start(config: ForwarderConfig, cluster: ClusterConfig, follow: boolean): Promise<void> {
    await this.#forwarding.start(cluster);
    this.#tcpLimits = config.tcp;
    try {
      await this.#startTcp(cluster);
      if (config.metrics !== undefined) this.#metricsServer = await serveMetrics(config.metrics, this);
    } catch (error) {
      await Promise.all([this.#forwarding.close(), this.#tcp?.close()]);
      throw error;
    }
    const path = this.#path;
    if (follow && path !== undefined) {
      this.#watch = new FileWatch([path], () => existsSync(path) && this.reload());
    }
    this.#statsTimer = setInterval(() => this.#logStats(), config.statsIntervalMs);
    this.#statsTimer.unref();
  }

  reload(): boolean {
    if (this.#path === undefined) return false;
    try {
      this.use(readClusterFile(this.#path));
      return true;
    } catch (error) {
      this.counters.reloadFaults++;
      const faults = (error as Error).message.split('\n');
      this.#logger.error({ faults }, `cluster file refused, the old one stays: ${faults[0]}`);
      return false;
    }
  }

  use(cluster: ClusterConfig): void {
    this.#forwarding.use(cluster);
    this.counters.reloads++;
    this.#startTcp(cluster).catch((error: Error) => this.#logger.error(error.message));
    const backends = cluster.backends.map(({ name }) => name);
    this.#logger.info(
      { backends, rotations: cluster.quicLb.map((c) => c.configRotation) },
      'cluster file taken up',
    );
  }

  async close(): Promise<void> {
    this.#watch?.close();
    clearInterval(this.#statsTimer);
    await Promise.all([this.#forwarding.close(), this.#tcp?.close(), this.#metricsServer?.close()]);
  }

  #logStats(): void {
    if (!this.#logger.isLevelEnabled('debug')) return;
    const { backends, ...totals } = this.counters;
    this.#logger.debug(
      {
        ...totals,
        kernelDrops: this.kernelDrops(),
        backends: Object.fromEntries(backends),
        states: Object.fromEntries(this.states()),
        lastBad: this.#forwarding.lastBadPacket(),
      },
      'counters',
    );
  }
}

/**
 * Starts a forwarder in this process. Rejects with `StartupError`, one sentence per fault, when the settings or the
 * cluster file have a fault or an address is in use.
 */
export async function startForwarder(options: StartOptions): Promise<Forwarder> {
  const config = checked(options);
  const logger = options.logger ?? createLog({ name: 'forwarder', level: config.logLevel });
  const path = typeof options.cluster === 'string' ? resolve(options.cluster) : undefined;
  const cluster = typeof options.cluster === 'string' ? readClusterFile(options.cluster) : options.cluster;
  const { listen, tunnel, probe } = config;
  const sockets = chooseSockets(config.socket);
  logger.info({ socket: sockets.kind }, `UDP sockets are ${sockets.kind}: ${sockets.why}`);
  const { inherited } = options;
  const forwarding = new Forwarding({ listen, inherited, tunnel, probe, logger, sockets });
  const running = new RunningForwarder(forwarding, logger, path);
  await running.start(config, cluster, options.watch ?? true);
  logger.info(
    {
      listen: running.listening.map(formatAddress),
      metrics: running.metrics && formatAddress(running.metrics),
      backends: cluster.backends.map(({ name }) => name),
    },
    'ready',
  );
  return running;
}
