import { spawnSync } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { createRequire } from 'node:module';
import { loadSystemCalls, type SystemCalls } from '../../net/udp/batched/libc.ts';
import { MessageTable, NAME_LENGTH } from '../../net/udp/batched/message-table.ts';
import { SendQueue } from '../../net/udp/batched/send-queue.ts';
import { deriveTunnelKeys, encodeConnectionId, type QuicLbConfig } from '../../proto/quic-lb/index.ts';
import { SPP_CLIENT_PORT_AT, startsWithSpp, TunnelEnd } from '../../proto/spp/index.ts';
import { parseIp } from '../../proto/wire/index.ts';
import { answerParent } from './child.ts';
import { ROUTING_KEY, TUNNEL_TAG } from './tunnel.ts';

/**
 * Both ends of a forwarder: clients that send short-header packets, and a backend. What arrives is not read: the kernel
 * counts what it throws away at a full buffer, so that the receiving end costs next to nothing. A window bounds what
 * is under way, so that the forwarder always has work and no buffer overflows: what is lost is lost by the forwarder.
 */

const CLIENTS = 16;
/** Packets that one client sends in a row. */
const BURST = 16;
/** Packets under way, at most. */
const WINDOW = 1024;
/** How long the load sleeps when the window is full: less than the forwarder needs to empty it. */
const PAUSE_MS = 0.05;
const NEVER = new Int32Array(new SharedArrayBuffer(4));
const START_TIMEOUT_MS = 90_000;
/** Without an arrival for so long, what is under way is lost. */
const LOST_AFTER_MS = 2000;
const HOST = parseIp('127.0.0.1')!;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;

/** A run ends with whichever comes first. */
export interface Limit {
  readonly packets: number;
  readonly ms: number;
}

/** What one run moved. */
export interface LoadResult {
  readonly arrived: number;
  readonly lost: number;
  readonly elapsedMs: number;
}

/** Sizes of packets: all alike, or any from 60 to 1200 octets. */
export type Octets = number | 'mixed';

function sizes(octets: Octets): number[] {
  return Array.from({ length: BURST }, () => (octets === 'mixed' ? randomInt(60, 1201) : octets));
}

class Peer {
  readonly #calls: SystemCalls;
  readonly descriptor: number;
  readonly #queue: SendQueue;
  /** Where its packets go, and what stands before each of them: SPP and its tag, on the backend's side of our forwarder. */
  port = 0;
  header = new Uint8Array();

  constructor(calls: SystemCalls) {
    this.#calls = calls;
    this.descriptor = calls.open({ host: '127.0.0.1', port: 0 }, false);
    const setsockopt = createRequire(import.meta.url)('koffi')
      .load(null)
      .func('int setsockopt(int, int level, int name, void *value, uint length)');
    setsockopt(this.descriptor, SOL_SOCKET, SO_RCVBUF, Int32Array.of(0), 4);
    this.#queue = new SendQueue(calls, this.descriptor, NAME_LENGTH.ipv4, (failure) => {
      throw new Error(`the load could not be sent: ${failure}`);
    });
  }

  get dropped(): number {
    return this.#calls.drops(this.descriptor) ?? 0;
  }

  send(packets: readonly Uint8Array[], port: number): void {
    for (const packet of packets) this.#queue.add(packet, 0, packet.length, HOST, 0, port);
    this.#queue.flush();
  }
}

function systemCalls(): SystemCalls {
  const loaded = loadSystemCalls();
  if (!loaded.ok) throw new Error(`the load needs batched system calls, but ${loaded.why}`);
  const { calls } = loaded;
  return new Proxy(calls, {
    get: (target, name) => {
      // What comes from a network comes packet by packet.
      if (name === 'canSegment') return false;
      return (target[name as keyof SystemCalls] as (...values: unknown[]) => unknown).bind(target);
    },
  });
}

class Load {
  readonly #calls = systemCalls();
  readonly #clients = Array.from({ length: CLIENTS }, () => new Peer(this.#calls));
  readonly #backend = new Peer(this.#calls);
  readonly #tunnel = new TunnelEnd('backend', TUNNEL_TAG, deriveTunnelKeys(ROUTING_KEY));
  #port = 0;
  /** Which way back the forwarder has for each client. */
  #ways: { readonly header: Uint8Array; readonly port: number }[] = [];

  get backendPort(): number {
    return portOf(this.#backend);
  }

  /** Each client is heard once at the backend: there a forwarder with sessions shows the port of each. */
  async meet(port: number, config: QuicLbConfig, serverId: Uint8Array): Promise<void> {
    this.#port = port;
    this.#ways = [];
    const memory = new Uint8Array(new ArrayBuffer(2048));
    const messages = new MessageTable((data) => this.#calls.addressOf(data), 1, NAME_LENGTH.ipv4);
    messages.aim(0, this.#calls.addressOf(memory), memory.length);
    const receive = () => this.#calls.receive(this.#backend.descriptor, messages.addressOf(0), 1) === 1;
    const from = (client: Peer) => {
      // Our forwarder's probes come to the backend as well.
      if (!receive()) return false;
      const port = memory[SPP_CLIENT_PORT_AT]! * 256 + memory[SPP_CLIENT_PORT_AT + 1]!;
      return !startsWithSpp(memory) || port === portOf(client);
    };
    while (receive());
    const endMs = performance.now() + START_TIMEOUT_MS;
    for (const client of this.#clients) {
      while (!from(client)) {
        if (performance.now() > endMs) throw new Error('the forwarder does not forward');
        client.send([packetOf(config, serverId, 100)], port);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      // A second copy that was under way must not be taken for the next client's.
      await new Promise((resolve) => setTimeout(resolve, 50));
      while (receive());
      const header = startsWithSpp(memory) ? memory.slice(0, this.#tunnel.prefixOctets) : new Uint8Array();
      if (header.length > 0) this.#tunnel.putTag(header, 0);
      this.#ways.push({ header, port: messages.readName(0, new Uint8Array(16), 0) });
    }
  }

  up(config: QuicLbConfig, serverId: Uint8Array, octets: Octets, limit: Limit): LoadResult {
    const bursts = this.#clients.map(() => sizes(octets).map((size) => packetOf(config, serverId, size)));
    const send = (i: number) => this.#clients[i]!.send(bursts[i]!, this.#port);
    return this.#run(send, () => this.#backend.dropped, limit);
  }

  down(octets: Octets, limit: Limit): LoadResult {
    const bursts = this.#ways.map(({ header }) =>
      sizes(octets).map((size) => {
        const packet = new Uint8Array(header.length + size).fill(0x55);
        packet.set(header);
        return packet;
      }),
    );
    const send = (i: number) => this.#backend.send(bursts[i]!, this.#ways[i]!.port);
    return this.#run(send, () => this.#clients.reduce((sum, { dropped }) => sum + dropped, 0), limit);
  }

  #run(send: (client: number) => void, arrivals: () => number, limit: Limit): LoadResult {
    const base = arrivals();
    const startedMs = performance.now();
    let movedMs = startedMs;
    let [sent, arrived, givenUp] = [0, 0, 0];
    for (let turn = 0; ; ) {
      const nowMs = performance.now();
      const before = arrived;
      arrived = arrivals() - base;
      if (arrived !== before) movedMs = nowMs;
      const isStill = nowMs - movedMs > LOST_AFTER_MS;
      const isOver = sent >= limit.packets || nowMs - startedMs >= limit.ms;
      if (isOver && (arrived === sent || isStill)) break;
      // What does not arrive must not hold the window up; it may arrive yet, and counts then.
      if (isStill) {
        givenUp = sent - arrived;
        movedMs = nowMs;
      }
      if (isOver || sent - arrived - givenUp > WINDOW - BURST) {
        Atomics.wait(NEVER, 0, 0, PAUSE_MS);
        continue;
      }
      send(turn++ % CLIENTS);
      sent += BURST;
    }
    return { arrived, lost: sent - arrived, elapsedMs: movedMs - startedMs };
  }
}

function portOf(peer: Peer): number {
  const name = new Uint8Array(16);
  const getsockname = createRequire(import.meta.url)('koffi')
    .load(null)
    .func('int getsockname(int, void *address, void *length)');
  getsockname(peer.descriptor, name, Uint32Array.of(16));
  return name[2]! * 256 + name[3]!;
}

function packetOf(config: QuicLbConfig, serverId: Uint8Array, octets: number): Uint8Array {
  const packet = new Uint8Array(randomBytes(octets));
  packet[0] = 0x40 | (packet[0]! & 0x3f);
  packet.set(encodeConnectionId(config, serverId, new Uint8Array(randomBytes(config.nonceLength))), 1);
  return packet;
}

let load: Load | undefined;
answerParent((request) => {
  const config = request.config as (QuicLbConfig & { keyHex?: string }) | undefined;
  const lb = (): [QuicLbConfig, Uint8Array] => {
    const { keyHex, ...rest } = config!;
    const key = keyHex === undefined ? {} : { key: new Uint8Array(Buffer.from(keyHex, 'hex')) };
    return [{ ...rest, ...key }, new Uint8Array(Buffer.from(String(request.serverId), 'hex'))];
  };
  switch (request.op) {
    case 'open':
      if (typeof request.core === 'number') {
        spawnSync('taskset', ['-apc', String(request.core), String(process.pid)]);
      }
      load = new Load();
      return load.backendPort;
    case 'meet':
      return load!.meet(Number(request.port), ...lb());
    case 'up':
      return load!.up(...lb(), request.octets as Octets, request.limit as Limit);
    case 'down':
      return load!.down(request.octets as Octets, request.limit as Limit);
    default:
      throw new Error(`unknown request ${request.op}`);
  }
});
