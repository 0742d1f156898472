import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { PathEnd } from './index.ts';

const run = promisify(execFile);

/** The address that every forwarder has, as behind anycast or equal-cost routes. */
export const SHARED_ADDRESS = '10.98.0.1';
/** Clients are here. */
export const CLIENT_ADDRESS = '10.98.9.1';

/** A forwarder's host: a namespace with a link to the clients' network, and one to the backends. */
export interface ForwarderHost {
  readonly end: PathEnd;
  /** Its own address, from which it talks to backends. */
  readonly tunnelAddress: string;
}

let opened = 0;

/**
 * Network namespaces for clients, two forwarders and backends. Packets to the shared address go to one of the forwarders that are announced,
 * each packet by itself, at random: the worst that equal-cost routing may do. Needs root, `ip` and `nft`.
 */
export class Sprayed {
  readonly clients: PathEnd;
  readonly backends: PathEnd;
  readonly forwarders: readonly ForwarderHost[];
  /** The address of the backends' host as a forwarder reaches it. */
  readonly backendAddress = '10.98.8.1';

  private constructor(name: string) {
    const end = (part: string) => new PathEnd(`${name}-${part}`, 0);
    this.clients = end('clients');
    this.backends = end('backends');
    this.forwarders = [1, 2].map((i) => ({ end: end(`forwarder-${i}`), tunnelAddress: `10.98.${20 + i}.1` }));
  }

  static async open(): Promise<Sprayed> {
    const made = new Sprayed(`parley-${process.pid}-spray${opened++}`);
    try {
      await made.#build();
    } catch (error) {
      await made.close();
      throw error;
    }
    return made;
  }

  get #namespaces(): string[] {
    const ends = [this.clients, this.backends, ...this.forwarders.map(({ end }) => end)];
    return ends.map(({ namespace }) => namespace);
  }

  async #build(): Promise<void> {
    const { clients, backends, forwarders } = this;
    for (const namespace of this.#namespaces) {
      await run('ip', ['netns', 'add', namespace]);
      await this.#ip(namespace, 'link', 'set', 'lo', 'up');
    }
    await this.#ip(clients.namespace, 'addr', 'add', `${CLIENT_ADDRESS}/32`, 'dev', 'lo');
    await this.#ip(backends.namespace, 'addr', 'add', `${this.backendAddress}/32`, 'dev', 'lo');
    for (const [i, { end, tunnelAddress }] of forwarders.entries()) {
      const outer = await this.#link(clients.namespace, end.namespace, 10 + i);
      const inner = await this.#link(end.namespace, backends.namespace, 20 + i + 1);
      await this.#ip(end.namespace, 'addr', 'add', `${SHARED_ADDRESS}/32`, 'dev', 'lo');
      await this.#ip(end.namespace, 'route', 'add', CLIENT_ADDRESS, 'via', outer.left);
      await this.#ip(end.namespace, 'route', 'add', this.backendAddress, 'via', inner.right);
      if (inner.left !== tunnelAddress) throw new Error(`${inner.left} is not ${tunnelAddress}`);
      const mark = String(i + 1);
      const table = String(101 + i);
      await this.#ip(clients.namespace, 'route', 'add', SHARED_ADDRESS, 'via', outer.right, 'table', table);
      await this.#ip(clients.namespace, 'rule', 'add', 'fwmark', mark, 'table', table);
      if (i === 0) await this.#ip(clients.namespace, 'route', 'add', SHARED_ADDRESS, 'via', outer.right);
    }
    await this.announce([0, 1]);
  }

  /**
   * The backends' host gets the shared address too, and a link of its own to the clients: what it sends from there reaches them without a
   * forwarder. What clients send goes to forwarders as before.
   */
  async returnDirectly(): Promise<void> {
    const { clients, backends } = this;
    const { right } = await this.#link(backends.namespace, clients.namespace, 40);
    await this.#ip(backends.namespace, 'addr', 'add', `${SHARED_ADDRESS}/32`, 'dev', 'lo');
    await this.#ip(backends.namespace, 'route', 'add', CLIENT_ADDRESS, 'via', right);
    // Answers come by another interface than questions leave by.
    for (const one of ['all', 'r40'])
      await run('ip', [
        'netns',
        'exec',
        clients.namespace,
        'sysctl',
        '-qw',
        `net.ipv4.conf.${one}.rp_filter=0`,
      ]);
  }

  /** A link between two namespaces: the address of either end. */
  async #link(left: string, right: string, number: number): Promise<{ left: string; right: string }> {
    const names = [`l${number}`, `r${number}`] as const;
    await run('ip', [
      ...['link', 'add', names[0], 'netns', left, 'type', 'veth'],
      ...['peer', 'name', names[1], 'netns', right],
    ]);
    const ends = { left: `10.98.${number}.1`, right: `10.98.${number}.2` };
    await this.#ip(left, 'addr', 'add', `${ends.left}/30`, 'dev', names[0]);
    await this.#ip(right, 'addr', 'add', `${ends.right}/30`, 'dev', names[1]);
    await this.#ip(left, 'link', 'set', names[0], 'up');
    await this.#ip(right, 'link', 'set', names[1], 'up');
    return ends;
  }

  async #ip(namespace: string, ...args: readonly string[]): Promise<void> {
    await run('ip', ['-n', namespace, ...args]);
  }

  /** Packets go to these forwarders from now on, one as likely as the other; others are withdrawn. */
  async announce(forwarders: readonly number[]): Promise<void> {
    const ways = forwarders.map((i, at) => `${at} : ${i + 1}`).join(', ');
    const mark =
      forwarders.length === 1
        ? String(forwarders[0]! + 1)
        : `numgen random mod ${forwarders.length} map { ${ways} }`;
    const rules = `table ip spray
delete table ip spray
table ip spray {
  chain out {
    type route hook output priority mangle;
    ip daddr ${SHARED_ADDRESS} meta mark set ${mark}
  }
  chain in {
    type filter hook input priority filter;
    icmp type destination-unreachable counter
  }
}`;
    await this.#nft(this.clients, rules);
  }

  /** Loads rules of nftables into a namespace, from a text or a file. */
  async #nft({ namespace }: PathEnd, rules: string): Promise<void> {
    await run('ip', ['netns', 'exec', namespace, 'nft', rules]);
  }

  loadRules({ namespace }: PathEnd, file: string): Promise<unknown> {
    return run('ip', ['netns', 'exec', namespace, 'nft', '-f', file]);
  }

  /** Packets that rules with a counter have met in a namespace, since they were loaded. */
  async counted({ namespace }: PathEnd, table: readonly [family: string, name: string]): Promise<number> {
    const { stdout } = await run('ip', ['netns', 'exec', namespace, 'nft', 'list', 'table', ...table]);
    return [...stdout.matchAll(/counter packets (\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0);
  }

  /** Removes the namespaces; what still runs there loses its network. */
  async close(): Promise<void> {
    for (const namespace of this.#namespaces) await run('ip', ['netns', 'del', namespace]).catch(() => {});
  }
}
