import { lookup, Resolver } from 'node:dns/promises';
import { type ClusterConfig, isHostName } from '../../proto/quic-lb/index.ts';

/** Bounds of how long an answer counts, in ms: a TTL of 0 must not ask without end, and one of a week not miss a change. */
const MIN_TTL_MS = 1_000;
const MAX_TTL_MS = 300_000;
/** When the system answered, which says no TTL, and when there was no answer: how long until it is asked again, in ms. */
const SYSTEM_TTL_MS = 10_000;
const RETRY_MS = 2_000;
const MAX_ADDRESSES = 1024;

/** What a name stands for. */
export interface Answer {
  readonly addresses: readonly string[];
  readonly ttlMs: number;
}

/** Asks for a name once. Rejects, or gives no addresses, when there is no answer. */
export type Ask = (name: string) => Promise<Answer>;

/**
 * Asks DNS, which says how long an answer counts; and where DNS does not know the name, the system, which knows /etc/hosts and the
 * search list of /etc/resolv.conf.
 */
export function askDns(resolver: Resolver = new Resolver({ timeout: 2000, tries: 2 })): Ask {
  return async (name) => {
    const asked = await Promise.allSettled([
      resolver.resolve4(name, { ttl: true }),
      resolver.resolve6(name, { ttl: true }),
    ]);
    const records = asked.flatMap((one) => (one.status === 'fulfilled' ? one.value : []));
    if (records.length > 0) {
      return {
        addresses: records.map(({ address }) => address),
        ttlMs: Math.min(...records.map(({ ttl }) => ttl)) * 1000,
      };
    }
    const found = await lookup(name, { all: true });
    return { addresses: found.map(({ address }) => address), ttlMs: SYSTEM_TTL_MS };
  };
}

interface Followed {
  addresses: readonly string[];
  dueAt: number;
  asking: Promise<void> | undefined;
  /** Why it got no answer the last time; undefined when it got one. */
  silent: string | undefined;
}

export interface NamesOptions {
  readonly ask?: Ask;
  /** Some name stands for something else now. */
  readonly onChange: () => void;
  /** A name got no answer; what it last stood for stays. `news` is a sentence for the log, the first time and when the reason is another. */
  readonly onSilence: (name: string, error: string, news: string | undefined) => void;
}

/**
 * The names of a cluster, asked for again when their answers end. An answer of nothing changes nothing: what a name last stood
 * for is more likely right than nothing at all.
 */
export class ClusterNames {
  readonly #options: NamesOptions;
  readonly #ask: Ask;
  readonly #names = new Map<string, Followed>();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  /** Times that a name got no answer. */
  silences = 0;

  constructor(options: NamesOptions) {
    this.#options = options;
    this.#ask = options.ask ?? askDns();
  }

  /** What a name stands for: sorted, and nothing until it had an answer. */
  addressesOf(name: string): readonly string[] {
    return this.#names.get(name)?.addresses ?? [];
  }

  /** Follows these names and no others. Fulfils when each has been asked for once. */
  async follow(names: Iterable<string>): Promise<void> {
    const wanted = new Set(names);
    for (const name of this.#names.keys()) if (!wanted.has(name)) this.#names.delete(name);
    const first: Promise<void>[] = [];
    for (const name of wanted) {
      if (this.#names.has(name)) continue;
      const followed: Followed = { addresses: [], dueAt: 0, asking: undefined, silent: undefined };
      this.#names.set(name, followed);
      first.push(this.#askFor(name, followed, false));
    }
    await Promise.all(first);
    this.#schedule();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #askFor(name: string, followed: Followed, tell: boolean): Promise<void> {
    followed.asking ??= this.#answer(name, followed, tell).finally(() => {
      followed.asking = undefined;
    });
    return followed.asking;
  }

  async #answer(name: string, followed: Followed, tell: boolean): Promise<void> {
    let why = 'no address';
    let answer: Answer = { addresses: [], ttlMs: 0 };
    try {
      answer = await this.#ask(name);
    } catch (error) {
      why = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
    }
    if (this.#closed || this.#names.get(name) !== followed) return;
    const now = performance.now();
    if (answer.addresses.length === 0) {
      followed.dueAt = now + RETRY_MS;
      this.silences++;
      const isNews = followed.silent !== why;
      followed.silent = why;
      const sentence =
        followed.addresses.length > 0
          ? `${name} has no address now (${why}): what it had stays`
          : `${name} has no address (${why}): it is left out until it has one`;
      this.#options.onSilence(name, why, isNews ? sentence : undefined);
      return;
    }
    followed.silent = undefined;
    followed.dueAt = now + Math.min(MAX_TTL_MS, Math.max(MIN_TTL_MS, answer.ttlMs));
    const addresses = [...new Set(answer.addresses)].sort().slice(0, MAX_ADDRESSES);
    const changed = addresses.join() !== followed.addresses.join();
    followed.addresses = addresses;
    if (changed && tell) this.#options.onChange();
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#closed || this.#names.size === 0) return;
    const dueAt = Math.min(...[...this.#names.values()].map((followed) => followed.dueAt));
    this.#timer = setTimeout(() => void this.#askDue(), Math.max(0, dueAt - performance.now()));
    this.#timer.unref();
  }

  async #askDue(): Promise<void> {
    const now = performance.now();
    const due = [...this.#names].filter(([, { dueAt }]) => dueAt <= now);
    await Promise.all(due.map(([name, followed]) => this.#askFor(name, followed, true)));
    this.#schedule();
  }
}

/** The names in a cluster that want to be looked up. */
export function namesIn({ backends, forwarders }: ClusterConfig): Set<string> {
  const hosts = backends.flatMap(({ tunnel, tcp }) =>
    tcp === undefined ? tunnel.host : [tunnel.host, tcp.host],
  );
  return new Set([...hosts, ...forwarders].filter(isHostName));
}

/**
 * The cluster with addresses in place of its backends' names. A name that stands for several is its first; a backend whose name
 * has had no answer so far is left out.
 */
export function withAddresses(
  cluster: ClusterConfig,
  addressesOf: (name: string) => readonly string[],
): ClusterConfig {
  const addressOf = (host: string) => (isHostName(host) ? addressesOf(host)[0] : host);
  const backends = cluster.backends.flatMap((backend) => {
    const host = addressOf(backend.tunnel.host);
    if (host === undefined) return [];
    const tcpHost = backend.tcp && addressOf(backend.tcp.host);
    const tcp =
      tcpHost === undefined ? undefined : { host: tcpHost, port: (backend.tcp as { port: number }).port };
    return [{ ...backend, tunnel: { host, port: backend.tunnel.port }, tcp }];
  });
  return { ...cluster, backends };
}
