import type { Logger } from 'pino';
import { type Ask, ClusterNames, ForwarderList, loadClusterFile } from '../net/cluster/index.ts';
import { FileWatch } from '../net/file-watch.ts';
import { StartupError } from '../net/startup.ts';
import type { Address } from '../proto/quic/index.ts';
import {
  CallHosts,
  type ClusterBackend,
  type ClusterConfig,
  callHostOf,
  deriveTunnelKeys,
  isHostName,
  reuseFaults,
  workerName,
} from '../proto/quic-lb/index.ts';
import { TunnelEnd } from '../proto/spp/index.ts';
import { hkdfExpandLabel } from '../proto/tls/index.ts';
import { equalOctets } from '../proto/wire/index.ts';
import type { TunnelRules } from './net/index.ts';

/** What a backend takes from the cluster file about itself. */
export interface OwnPlace {
  readonly cluster: ClusterConfig;
  /** Its name there, which may have been found by the host's. */
  readonly name: string;
  readonly serverId: Uint8Array;
  /** Where its tunnel port is; the host may be a name. */
  readonly tunnel: Address;
  /** The host name by which callers come back to this backend; `undefined` when the cluster has no `callHost`. */
  readonly callHost: string | undefined;
  /** Where it takes TCP connections, if anywhere; the host may be a name. */
  readonly tcp: Address | undefined;
  /** 32 octets that seal session tickets, the same at every backend. */
  readonly ticketSecret: Uint8Array;
  /** The cluster file, and those that its secrets stand in. */
  readonly files: readonly string[];
}

/**
 * The entry called `name`; or the only one whose tunnel is on the host of that name, as pods find theirs: `name` is then the host's
 * name, with or without what follows its first dot. A worker's number stays behind it.
 */
function findOwn(backends: readonly ClusterBackend[], name: string): ClusterBackend | undefined {
  const exact = backends.find((backend) => backend.name === name);
  if (exact !== undefined) return exact;
  const [host = '', worker] = name.toLowerCase().split('/', 2);
  const onHost = backends.filter(
    ({ tunnel, name: own }) =>
      (tunnel.host === host || tunnel.host.startsWith(`${host}.`)) &&
      (worker === undefined ? !own.includes('/') : own.endsWith(workerName('', Number(worker)))),
  );
  return onHost.length === 1 ? onHost[0] : undefined;
}

/** 32 octets that seal session tickets, the same at every backend. */
export function ticketSecretOf({ statelessResetKey, ticketKey }: ClusterConfig): Uint8Array {
  // HKDF keeps the two apart: what tickets are sealed with tells nothing of the key of resets.
  return (
    ticketKey ??
    hkdfExpandLabel(statelessResetKey, 'parley tickets', new Uint8Array(0), statelessResetKey.length)
  );
}

/** Reads the cluster file and finds the backend called `name` in it. Throws `StartupError`, one sentence per fault. */
export function readCluster(path: string, name: string, env = process.env): OwnPlace {
  const { cluster, files } = loadClusterFile(path, env);
  const own = findOwn(cluster.backends, name);
  if (own === undefined) {
    const known = cluster.backends.slice(0, 20).map((backend) => backend.name);
    const more = cluster.backends.length - known.length;
    throw new StartupError(
      `${path}: there is no backend called "${name}"; it names ${known.join(', ')}${more > 0 ? ` and ${more} more` : ''}.`,
    );
  }
  const ticketSecret = ticketSecretOf(cluster);
  const { serverId, tunnel, tcp } = own;
  const callHost = callHostOf(cluster, serverId);
  return { cluster, name: own.name, serverId, tunnel, tcp, callHost, ticketSecret, files };
}

/** Where a port of the cluster file is opened: a name may not be known yet when its host starts, so it stands for every address. */
export function bindAddress({ host, port }: Address): Address {
  return isHostName(host) ? { host: '0.0.0.0', port } : { host, port };
}

/** A backend's end of the tunnel, as the cluster file says. */
function tunnelEnd({ tunnelTag, routingKey }: ClusterConfig): TunnelEnd {
  return new TunnelEnd('backend', tunnelTag, deriveTunnelKeys(routingKey));
}

/** Faults of a change that a running backend cannot follow, one sentence each. */
function changeFaults(before: OwnPlace, after: OwnPlace): string[] {
  const faults = reuseFaults(before.cluster, after.cluster);
  const own = ({ cluster, name }: OwnPlace) => cluster.backends.find((backend) => backend.name === name);
  const now = own(before)?.serverIds ?? new Map<number, Uint8Array>();
  for (const [rotation, serverId] of own(after)?.serverIds ?? []) {
    const known = now.get(rotation);
    if (known !== undefined && !equalOctets(known, serverId))
      faults.push(
        `${after.name} has another serverId for config rotation ${rotation} than its connections; give it with a new configRotation, or restart the backend.`,
      );
  }
  return faults;
}

export interface LiveClusterOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly ask?: Ask;
}

/**
 * What a backend follows of the cluster file without a restart: what the tunnel port takes (packets from which addresses, and with
 * which tag), which backends there are to send callers to, and which configuration CIDs are issued with. The rest of the file is
 * read at the start only.
 */
export class LiveCluster implements TunnelRules {
  /** Files that were taken up while running, and that were refused. */
  reloads = 0;
  reloadFaults = 0;
  #place: OwnPlace;
  #forwarders: ForwarderList;
  #end: TunnelEnd;
  #callHosts: CallHosts;
  readonly #path: string;
  readonly #log: Logger;
  readonly #env: NodeJS.ProcessEnv;
  readonly #names: ClusterNames;
  #watch: FileWatch;
  /** Told of each change; a sentence that it throws as `StartupError` refuses the file. */
  #onChange: (place: OwnPlace) => void = () => {};

  constructor(
    path: string,
    place: OwnPlace,
    log: Logger,
    { env = process.env, ask }: LiveClusterOptions = {},
  ) {
    this.#path = path;
    this.#place = place;
    this.#log = log;
    this.#env = env;
    this.#end = tunnelEnd(place.cluster);
    this.#callHosts = new CallHosts(place.cluster);
    this.#names = new ClusterNames({
      ...(ask && { ask }),
      onChange: () => this.#listForwarders(),
      onSilence: (name, error, news) => {
        if (news !== undefined) this.#log.warn({ name, error }, news);
      },
    });
    this.#forwarders = new ForwarderList(place.cluster.forwarders, () => []);
    this.#watch = new FileWatch(place.files, () => this.reload());
    void this.#follow();
  }

  get forwarders(): ForwarderList {
    return this.#forwarders;
  }

  get end(): TunnelEnd {
    return this.#end;
  }

  /** The backends by the names that callers ask for. */
  get callHosts(): CallHosts {
    return this.#callHosts;
  }

  /** What the file says now. */
  get place(): OwnPlace {
    return this.#place;
  }

  /** Times that a name of the file had no answer. */
  get nameSilences(): number {
    return this.#names.silences;
  }

  onChange(listener: (place: OwnPlace) => void): void {
    this.#onChange = listener;
  }

  /** Reads the file again. A broken one changes nothing, and the log says what is wrong with it. */
  reload(): void {
    try {
      const place = readCluster(this.#path, this.#place.name, this.#env);
      const faults = changeFaults(this.#place, place);
      if (faults.length > 0)
        throw new StartupError(faults.map((fault) => `${this.#path}: ${fault}`).join('\n'));
      this.#onChange(place);
      this.#take(place);
    } catch (error) {
      this.reloadFaults++;
      this.#log.error(`The new cluster file is not taken: ${(error as Error).message.trim()}`);
    }
  }

  #take(place: OwnPlace): void {
    const { forwarders, tunnelTag, quicLb } = place.cluster;
    if (place.files.join() !== this.#place.files.join()) {
      this.#watch.close();
      this.#watch = new FileWatch(place.files, () => this.reload());
    }
    this.#place = place;
    this.#end = tunnelEnd(place.cluster);
    this.#callHosts = new CallHosts(place.cluster);
    this.#listForwarders();
    void this.#follow();
    this.reloads++;
    this.#log.info(
      { forwarders, tunnelTag, rotations: quicLb.map(({ configRotation }) => configRotation) },
      'cluster file read again: its quicLb, forwarders, tunnelTag and the names of its backends count now, other changes after a restart',
    );
  }

  async #follow(): Promise<void> {
    await this.#names.follow(this.#place.cluster.forwarders.filter(isHostName));
    this.#listForwarders();
  }

  #listForwarders(): void {
    this.#forwarders = new ForwarderList(this.#place.cluster.forwarders, (name) =>
      this.#names.addressesOf(name),
    );
  }

  close(): void {
    this.#watch.close();
    this.#names.close();
  }
}
