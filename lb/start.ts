import { resolve } from 'node:path';
import type { Logger } from 'pino';
import { createLog } from '../net/log.ts';
import { type OperatorHandler, type OperatorPort, openOperatorPort } from '../net/operator-port.ts';
import { StartupError } from '../net/startup.ts';
import { type Address, chooseSockets } from '../net/udp/index.ts';
import type { ClusterConfig } from '../proto/quic-lb/index.ts';
import { formatAddress } from '../proto/wire/index.ts';
import { type ForwarderConfig, type ForwarderConfigInput, parseForwarderConfig } from './config.ts';
import type { Counters } from './counters.ts';
import { Forwarding } from './forwarder.ts';
import { LiveCluster } from './live-cluster.ts';
import { operatorHandler } from './metrics.ts';
import type { BackendState } from './route.ts';
import { TcpForwarding } from './tcp.ts';
import { type WorkerPlace, workerTunnels } from './workers/index.ts';

/** A running forwarder. */
export interface Forwarder {
  /** Where clients reach it. */
  readonly listening: readonly Address[];
  /** Where its metrics are, if anywhere. */
  readonly metrics: Address | undefined;
  readonly counters: Counters;
  /** Answers what its `metrics` port does, wherever it is asked. */
  readonly operators: OperatorHandler;
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
  /** Set for one of several workers that share the addresses of `listen`. */
  readonly worker?: WorkerPlace;
}

function checked(options: StartOptions): ForwarderConfig {
  const {
    cluster,
    logger: _log,
    watch: _watch,
    inherited: _inherited,
    worker: _worker,
    ...settings
  } = options;
  const result = parseForwarderConfig(typeof cluster === 'string' ? { ...settings, cluster } : settings);
  if (!result.ok) throw new StartupError(result.faults.join('\n'));
  return result.value;
}

class RunningForwarder implements Forwarder {
  readonly operators: OperatorHandler;
  readonly #forwarding: Forwarding;
  readonly #logger: Logger;
  readonly #cluster: LiveCluster;
  #tcp: TcpForwarding | undefined;
  #tcpLimits: ForwarderConfig['tcp'] | undefined;
  #statsTimer: NodeJS.Timeout | undefined;
  #operatorPort: OperatorPort | undefined;

  constructor(forwarding: Forwarding, logger: Logger) {
    this.#forwarding = forwarding;
    this.#logger = logger;
    this.operators = operatorHandler(this);
    const { counters } = forwarding;
    this.#cluster = new LiveCluster({ counters, logger, use: (cluster) => this.#take(cluster) });
  }

  get listening(): readonly Address[] {
    return this.#forwarding.listening;
  }

  get metrics(): Address | undefined {
    return this.#operatorPort?.address;
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

  /** `takesTcp`: whether TCP connections of clients come to this process. */
  async start(
    config: ForwarderConfig,
    source: string | ClusterConfig,
    follow: boolean,
    takesTcp: boolean,
  ): Promise<ClusterConfig> {
    const cluster = await this.#cluster.open(source);
    try {
      await this.#forwarding.start(cluster);
      if (takesTcp) this.#tcpLimits = config.tcp;
      await this.#startTcp(cluster);
      if (config.metrics !== undefined)
        this.#operatorPort = await openOperatorPort(config.metrics, this.operators, '--metrics');
    } catch (error) {
      this.#cluster.close();
      await Promise.all([this.#forwarding.close(), this.#tcp?.close()]);
      throw error;
    }
    if (follow) this.#cluster.watch();
    this.#statsTimer = setInterval(() => this.#logStats(), config.statsIntervalMs);
    this.#statsTimer.unref();
    return cluster;
  }

  reload(): boolean {
    return this.#cluster.reload();
  }

  use(cluster: ClusterConfig): void {
    this.#cluster.use(cluster);
  }

  /** Takes up a cluster whose names are looked up. */
  #take(cluster: ClusterConfig): void {
    this.#forwarding.use(cluster);
    this.#startTcp(cluster).catch((error: Error) => this.#logger.error(error.message));
  }

  async close(): Promise<void> {
    this.#cluster.close();
    clearInterval(this.#statsTimer);
    await Promise.all([this.#forwarding.close(), this.#tcp?.close(), this.#operatorPort?.close()]);
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
  // JavaScript callers have no types to tell them.
  if ((options as StartOptions | null | undefined)?.cluster === undefined)
    throw new StartupError('startForwarder needs { cluster }: the path of cluster.json, or what it holds.');
  const config = checked(options);
  const logger = options.logger ?? createLog({ name: 'forwarder', level: config.logLevel });
  const source = typeof options.cluster === 'string' ? resolve(options.cluster) : options.cluster;
  const { listen, probe } = config;
  const sockets = chooseSockets(config.socket);
  logger.info({ socket: sockets.kind }, `UDP sockets are ${sockets.kind}: ${sockets.why}`);
  const { inherited, worker } = options;
  const tunnel = worker === undefined ? config.tunnel : workerTunnels(config, worker.index);
  const reusePort = worker !== undefined;
  const forwarding = new Forwarding({ listen, inherited, tunnel, reusePort, probe, logger, sockets });
  const running = new RunningForwarder(forwarding, logger);
  // TCP ports cannot be shared so on every Node: the first worker has them.
  const takesTcp = worker === undefined || worker.index === 0;
  const cluster = await running.start(config, source, options.watch ?? true, takesTcp);
  logger.info(
    {
      listen: running.listening.map(formatAddress),
      metrics: running.metrics && formatAddress(running.metrics),
      backends: cluster.backends.length,
    },
    'ready',
  );
  return running;
}
