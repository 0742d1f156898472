import { existsSync } from 'node:fs';
import type { Logger } from 'pino';
import { type Ask, ClusterNames, loadClusterFile, namesIn, withAddresses } from '../net/cluster/index.ts';
import { FileWatch } from '../net/file-watch.ts';
import { StartupError } from '../net/startup.ts';
import { type ClusterConfig, reuseFaults } from '../proto/quic-lb/index.ts';
import type { Counters } from './counters.ts';

export interface LiveClusterOptions {
  /** Takes up a cluster whose backends all have addresses. Throws `StartupError` for one that cannot be. */
  readonly use: (cluster: ClusterConfig) => void;
  readonly counters: Counters;
  readonly logger: Logger;
  readonly ask?: Ask | undefined;
}

/** The cluster that a forwarder follows: its file, when it has one, and the names in it. */
export class LiveCluster {
  readonly #options: LiveClusterOptions;
  readonly #names: ClusterNames;
  #cluster: ClusterConfig | undefined;
  #path: string | undefined;
  #files: readonly string[] = [];
  #watch: FileWatch | undefined;

  constructor(options: LiveClusterOptions) {
    this.#options = options;
    const { counters, logger, ask } = options;
    this.#names = new ClusterNames({
      ...(ask && { ask }),
      onChange: () => this.#applyOrSay(),
      onSilence: (name, error, news) => {
        counters.nameSilences++;
        if (news !== undefined) logger.warn({ name, error }, news);
      },
    });
  }

  /** The cluster to start with, its names looked up once. */
  async open(source: string | ClusterConfig): Promise<ClusterConfig> {
    if (typeof source === 'string') {
      const { cluster, files } = loadClusterFile(source);
      this.#path = source;
      this.#files = files;
      this.#cluster = cluster;
    } else this.#cluster = source;
    await this.#names.follow(namesIn(this.#cluster));
    return this.#withAddresses();
  }

  /** Follows changes of the file from now on. */
  watch(): void {
    const path = this.#path;
    if (path === undefined) return;
    this.#watch?.close();
    this.#watch = new FileWatch(this.#files, () => existsSync(path) && this.reload());
  }

  /** Reads the file again; one with a fault changes nothing. Returns whether it was taken up. */
  reload(): boolean {
    if (this.#path === undefined) return false;
    const { counters, logger } = this.#options;
    try {
      const { cluster, files } = loadClusterFile(this.#path);
      const faults = this.#cluster === undefined ? [] : reuseFaults(this.#cluster, cluster);
      if (faults.length > 0)
        throw new StartupError(faults.map((fault) => `${this.#path}: ${fault}`).join('\n'));
      this.use(cluster);
      const changed = files.join() !== this.#files.join();
      this.#files = files;
      if (changed && this.#watch !== undefined) this.watch();
      return true;
    } catch (error) {
      counters.reloadFaults++;
      const faults = (error as Error).message.split('\n');
      logger.error({ faults }, `cluster file refused, the old one stays: ${faults[0]}`);
      return false;
    }
  }

  /** Takes up another cluster: at once, but for backends whose name has to be looked up first. */
  use(cluster: ClusterConfig): void {
    const before = this.#cluster;
    this.#cluster = cluster;
    try {
      this.#apply();
    } catch (error) {
      this.#cluster = before;
      throw error;
    }
    const names = namesIn(cluster);
    void this.#names.follow(names).then(() => {
      if (names.size > 0 && this.#cluster === cluster) this.#applyOrSay();
    });
    this.#options.counters.reloads++;
    this.#options.logger.info(
      {
        backends: cluster.backends.slice(0, SHOWN_BACKENDS).map(({ name }) => name),
        rotations: cluster.quicLb.map((c) => c.configRotation),
      },
      'cluster file taken up',
    );
  }

  #withAddresses(): ClusterConfig {
    return withAddresses(this.#cluster as ClusterConfig, (name) => this.#names.addressesOf(name));
  }

  #apply(): void {
    this.#options.use(this.#withAddresses());
  }

  /** After an answer of DNS: what cannot be taken up is said, and what there was stays. */
  #applyOrSay(): void {
    try {
      this.#apply();
    } catch (error) {
      this.#options.logger.error(`the cluster's new addresses are not taken: ${(error as Error).message}`);
    }
  }

  close(): void {
    this.#watch?.close();
    this.#names.close();
  }
}

/** Names in one line of the log. */
const SHOWN_BACKENDS = 100;
