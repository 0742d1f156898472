import type { Logger } from 'pino';
import { FileWatch } from '../net/file-watch.ts';
import { readFileOrStop } from '../net/files.ts';
import { StartupError } from '../net/startup.ts';
import type { Address } from '../proto/quic/index.ts';
import {
  CallHosts,
  type ClusterConfig,
  callHostOf,
  deriveTunnelKeys,
  parseClusterFile,
} from '../proto/quic-lb/index.ts';
import { TunnelEnd } from '../proto/spp/index.ts';
import { hkdfExpandLabel } from '../proto/tls/index.ts';
import type { TunnelRules } from './net/index.ts';

/** What a backend takes from the cluster file about itself. */
export interface OwnPlace {
  readonly cluster: ClusterConfig;
  readonly serverId: Uint8Array;
  readonly tunnel: Address;
  /** The host name by which callers come back to this backend; `undefined` when the cluster has no `callHost`. */
  readonly callHost: string | undefined;
  /** Where it takes TCP connections, if anywhere. */
  readonly tcp: Address | undefined;
  /** 32 octets that seal session tickets, the same at every backend. */
  readonly ticketSecret: Uint8Array;
}

/** Reads the cluster file and finds the backend called `name` in it. Throws `StartupError`, one sentence per fault. */
export function readCluster(path: string, name: string): OwnPlace {
  const parsed = parseClusterFile(readFileOrStop(path, 'cluster file'));
  if (!parsed.ok) throw new StartupError(parsed.faults.map((fault) => `${path}: ${fault}`).join('\n'));
  const cluster = parsed.value;
  const own = cluster.backends.find((backend) => backend.name === name);
  if (own === undefined) {
    const known = cluster.backends.map((backend) => backend.name).join(', ');
    throw new StartupError(`${path}: there is no backend called "${name}"; it names ${known}.`);
  }
  const { statelessResetKey, ticketKey } = cluster;
  // HKDF keeps the two apart: what tickets are sealed with tells nothing of the key of resets.
  const ticketSecret =
    ticketKey ??
    hkdfExpandLabel(statelessResetKey, 'parley tickets', new Uint8Array(0), statelessResetKey.length);
  const { serverId, tunnel, tcp } = own;
  return { cluster, serverId, tunnel, tcp, callHost: callHostOf(cluster, serverId), ticketSecret };
}

/** A backend's end of the tunnel, as the cluster file says. */
function tunnelEnd({ tunnelTag, routingKey }: ClusterConfig): TunnelEnd {
  return new TunnelEnd('backend', tunnelTag, deriveTunnelKeys(routingKey));
}

/**
 * What a backend follows of the cluster file without a restart: what the tunnel port takes (packets from which addresses, and with
 * which tag), and which backends there are to send callers to. The rest of the file is read at the start only.
 */
export class LiveForwarders implements TunnelRules {
  /** The addresses now: the same set for as long as the backend runs. */
  readonly addresses: Set<string>;
  #end: TunnelEnd;
  #callHosts: CallHosts;
  readonly #path: string;
  readonly #name: string;
  readonly #log: Logger;
  readonly #watch: FileWatch;

  constructor(path: string, name: string, cluster: ClusterConfig, log: Logger) {
    this.#path = path;
    this.#name = name;
    this.#log = log;
    this.addresses = new Set(cluster.forwarders);
    this.#end = tunnelEnd(cluster);
    this.#callHosts = new CallHosts(cluster);
    this.#watch = new FileWatch([path], () => this.reload());
  }

  get forwarders(): ReadonlySet<string> {
    return this.addresses;
  }

  get end(): TunnelEnd {
    return this.#end;
  }

  /** The backends by the names that callers ask for. */
  get callHosts(): CallHosts {
    return this.#callHosts;
  }

  /** Reads the file again. A broken one changes nothing, and the log says what is wrong with it. */
  reload(): void {
    try {
      const { cluster } = readCluster(this.#path, this.#name);
      const { forwarders, tunnelTag } = cluster;
      this.#end = tunnelEnd(cluster);
      this.#callHosts = new CallHosts(cluster);
      this.addresses.clear();
      for (const address of forwarders) this.addresses.add(address);
      this.#log.info(
        { forwarders, tunnelTag },
        'cluster file read again: its forwarders, tunnelTag and the names of its backends count now, other changes after a restart',
      );
    } catch (error) {
      this.#log.error(`The new cluster file is not taken: ${(error as Error).message.trim()}`);
    }
  }

  close(): void {
    this.#watch.close();
  }
}
