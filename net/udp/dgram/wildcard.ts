import { networkInterfaces } from 'node:os';
import { formatIp } from '../../../proto/wire/index.ts';
import { type Endpoint, isIpv6, isUnspecified, toEndpoint } from '../address.ts';
import type { UdpSocket, UdpSocketOptions } from '../udp-socket.ts';
import { bindDgram, type DgramSocket } from './socket.ts';

/** How often this machine's addresses are looked at, in ms: a new one is answered from by then. */
const ADDRESSES_INTERVAL_MS = 2000;

/** Says which addresses this machine has; a test may say something else. */
export type ListAddresses = () => string[];

function addressesOfInterfaces(): string[] {
  return Object.values(networkInterfaces()).flatMap((list = []) => list.map(({ address }) => address));
}

/** Whether an answer can leave from that address by a socket of the wildcard's family. Link-local ones need a zone, and no browser has it. */
function isUsable(address: string, { address: { host }, ipv6Only }: UdpSocketOptions): boolean {
  if (!isIpv6(address)) return !isIpv6(host) || !ipv6Only;
  return isIpv6(host) && !/^fe[89ab]/i.test(address);
}

/**
 * A wildcard address without batched system calls: `dgram` does not tell which address a datagram came to. So there is a
 * socket for each address of this machine, narrower than the wildcard's, and the kernel prefers it. The wildcard's own takes
 * what is left (loopback addresses beside 127.0.0.1, an address that is a second old) and sends where no address is asked for.
 */
class DgramWildcard implements UdpSocket {
  readonly isBatched = false;
  readonly #any: DgramSocket;
  readonly #options: UdpSocketOptions;
  readonly #listAddresses: ListAddresses;
  readonly #members = new Map<string, DgramSocket>();
  readonly #timer: NodeJS.Timeout;
  #updating: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(any: DgramSocket, options: UdpSocketOptions, listAddresses: ListAddresses, intervalMs: number) {
    this.#any = any;
    this.#options = options;
    this.#listAddresses = listAddresses;
    this.#timer = setInterval(() => void this.update(), intervalMs).unref();
  }

  get local(): Endpoint {
    return this.#any.local;
  }

  /** Opens sockets for addresses that came, closes those of addresses that went. */
  update(): Promise<void> {
    this.#updating = this.#updating.then(() => this.#follow(new Set(this.#listAddresses())));
    return this.#updating;
  }

  reaches(hosts: Uint8Array, at: number): boolean {
    return this.#any.reaches(hosts, at);
  }

  send(
    data: Uint8Array,
    from: number,
    to: number,
    hosts: Uint8Array,
    at: number,
    port: number,
    sources?: Uint8Array,
    sourceAt = 0,
  ): void {
    const isFree = sources === undefined || isUnspecified(sources, sourceAt);
    const member = isFree ? undefined : this.#members.get(formatIp(sources, sourceAt));
    (member ?? this.#any).send(data, from, to, hosts, at, port);
  }

  flush(): void {}

  get isFull(): boolean {
    if (this.#any.isFull) return true;
    for (const member of this.#members.values()) if (member.isFull) return true;
    return false;
  }

  kernelDrops(): undefined {
    return undefined;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    await this.#updating;
    await Promise.all([this.#any, ...this.#members.values()].map((socket) => socket.close()));
  }

  async #follow(listed: ReadonlySet<string>): Promise<void> {
    if (this.#closed) return;
    const wanted = [...listed].filter((address) => isUsable(address, this.#options));
    const hosts = new Set(wanted.map((address) => toEndpoint(address, 0).host));
    for (const [host, socket] of this.#members) {
      if (hosts.has(host)) continue;
      this.#members.delete(host);
      await socket.close();
    }
    for (const host of hosts) if (!this.#members.has(host)) await this.#add(host);
  }

  async #add(host: string): Promise<void> {
    const { onOversize, onSendFailure, setting } = this.#options;
    const options: UdpSocketOptions = {
      address: { host, port: this.local.port },
      ipv6Only: true,
      setting,
      onBatch: (batch) => this.#options.onBatch(batch, this),
      onOversize,
      onSendFailure,
    };
    try {
      this.#members.set(host, await bindDgram(options, true));
    } catch {
      // Gone again, not usable yet (IPv6 tests that an address is free), or the wildcard's socket was handed over by who
      // does not share its port: the next look tries again, and until then the wildcard's socket takes its packets.
    }
  }
}

/** Opens sockets for a wildcard address. Rejects with `StartupError`, one sentence, when it cannot be bound. */
export async function openWildcard(
  options: UdpSocketOptions,
  listAddresses: ListAddresses = addressesOfInterfaces,
  intervalMs = ADDRESSES_INTERVAL_MS,
): Promise<UdpSocket> {
  const { address, descriptor } = options;
  let port = address.port;
  if (descriptor === undefined) {
    // Sockets that share a port share it with other processes that do. One that does not finds out whether there are any.
    const trial = await bindDgram({ ...options, onBatch: () => {} }, false);
    port = trial.local.port;
    await trial.close();
  }
  let wildcard: UdpSocket | undefined;
  const any = await bindDgram(
    {
      ...options,
      address: { ...address, port },
      onBatch: (batch, socket) => options.onBatch(batch, wildcard ?? socket),
    },
    true,
  );
  const made = new DgramWildcard(any, options, listAddresses, intervalMs);
  wildcard = made;
  await made.update();
  return made;
}
