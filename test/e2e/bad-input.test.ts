import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { deriveTunnelKeys } from '../../proto/quic-lb/index.ts';
import { TunnelEnd } from '../../proto/spp/index.ts';
import { fromHex, parseAddress } from '../../proto/wire/index.ts';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { metric } from '../support/metrics.ts';
import { NodeClient } from '../support/node-client.ts';
import { seededNumbers, seededRandom } from '../support/quic-fixtures.ts';
import { createRelay, type Relay } from '../support/relay.ts';

/** Bad datagrams before anything is measured, so that what is compiled and allocated once is there. */
const WARM_UP = 6_000;
const DATAGRAMS = 20_000;
/** Sent in one go; small enough for the receivers' socket buffers. */
const BATCH = 40;
/** What a process may hold more after it all: what the heap keeps before it collects, not what 20 000 datagrams would leak. */
const MAX_GROWTH_OCTETS = 48 * 1024 * 1024;
/** Share of the datagrams that must be seen counted; the kernel may drop some on a busy machine. */
const COUNTED_SHARE = 0.8;
const CHUNK_OCTETS = 4096;

let cluster: TestCluster;
let relay: Relay;
const captured: Uint8Array[] = [];
beforeAll(async () => {
  cluster = await startCluster({ backends: 2 });
  relay = await createRelay({
    target: { port: cluster.forwarderPort },
    // The later ones are of the session in progress, not of its handshake.
    tap: (_, data) => void (captured.length < 400 && captured.push(data.slice())),
  });
});
afterAll(async () => {
  await relay?.close();
  await cluster?.close();
});

/** A session that sends and gets back octets all the time, with a hash over each way. */
class EchoSession {
  readonly client: NodeClient;
  readonly #streamId: number;
  readonly #sent = createHash('sha256');
  readonly #received = createHash('sha256');
  readonly #random = seededRandom(11);
  rounds = 0;

  private constructor(client: NodeClient, streamId: number) {
    this.client = client;
    this.#streamId = streamId;
  }

  static async open(port: number): Promise<EchoSession> {
    const client = await NodeClient.dial(port, cluster.certificateHash);
    const sessionId = client.webTransport.connectSession({ authority: `localhost:${port}`, path: '/echo' });
    await client.event('sessionEstablished');
    return new EchoSession(client, client.webTransport.openStream(sessionId, 'bidirectional')!);
  }

  /** Sends some octets and waits until as many are back. */
  async exchange(): Promise<void> {
    const chunk = this.#random(CHUNK_OCTETS);
    this.#sent.update(chunk);
    this.client.webTransport.writeStream(this.#streamId, chunk);
    this.client.wake();
    const end = Date.now() + 20_000;
    for (let missing = CHUNK_OCTETS; missing > 0; ) {
      const read = this.client.webTransport.readStream(this.#streamId);
      if (read !== undefined) {
        this.#received.update(read.data);
        missing -= read.data.length;
        this.client.wake();
        continue;
      }
      if (Date.now() > end) throw new Error(`${missing} octets did not come back in round ${this.rounds}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    this.rounds += 1;
  }

  hashes(): readonly [sent: string, received: string] {
    return [this.#sent.copy().digest('hex'), this.#received.copy().digest('hex')];
  }
}

interface Target {
  readonly port: number;
  readonly data: Uint8Array;
  /** Who must drop and count it without a doubt. */
  readonly counted: 'forwarder' | 'backend' | undefined;
}

/** Bad datagrams of every kind, by a seed. */
class BadInput {
  readonly #numbers: () => number;
  readonly #random;
  readonly #end: TunnelEnd;
  readonly #tunnels: readonly number[];

  constructor(seed: number) {
    this.#numbers = seededNumbers(seed);
    this.#random = seededRandom(seed);
    this.#end = new TunnelEnd('forwarder', 'require', deriveTunnelKeys(fromHex(cluster.cluster.routingKey)!));
    this.#tunnels = cluster.cluster.backends.map(({ tunnel }) => parseAddress(tunnel)!.port);
  }

  #below(limit: number): number {
    return Math.floor(this.#numbers() * limit);
  }

  #real(): Uint8Array {
    return captured[this.#below(captured.length)]!.slice();
  }

  #flipped(): Uint8Array {
    const data = this.#real();
    for (let i = 0; i <= this.#below(4); i++) data[this.#below(data.length)]! ^= 1 << this.#below(8);
    return data;
  }

  #truncated(): Uint8Array {
    const data = this.#real();
    return data.subarray(0, this.#below(data.length));
  }

  #spp(payload: Uint8Array): Uint8Array {
    const client = { clientHost: '127.0.0.1', clientPort: 1 + this.#below(65_535) };
    return this.#end.seal({ ...client, proxyHost: '127.0.0.1', proxyPort: cluster.forwarderPort }, payload);
  }

  next(): Target {
    const { forwarderPort } = cluster;
    const tunnel = this.#tunnels[this.#below(this.#tunnels.length)]!;
    switch (this.#below(9)) {
      case 0:
        return { port: forwarderPort, data: this.#random(this.#below(1400)), counted: undefined };
      case 1:
        return { port: forwarderPort, data: this.#flipped(), counted: undefined };
      case 2:
        return { port: forwarderPort, data: this.#truncated(), counted: undefined };
      case 3:
        // A long header that ends within its connection IDs.
        return { port: forwarderPort, data: Uint8Array.of(0xc0, 0, 0, 0, 1, 20, 1, 2), counted: 'forwarder' };
      case 4:
        return { port: forwarderPort, data: Uint8Array.of(0x40, ...this.#random(10)), counted: 'forwarder' };
      case 5:
        // No SPP, as its first octet is not the magic's.
        return {
          port: tunnel,
          data: Uint8Array.of(0, ...this.#random(this.#below(300))),
          counted: 'backend',
        };
      case 6:
        return { port: tunnel, data: this.#spp(this.#flipped()), counted: undefined };
      case 7:
        return { port: tunnel, data: this.#spp(this.#truncated()), counted: undefined };
      default:
        return { port: tunnel, data: this.#spp(this.#random(this.#below(1400))), counted: undefined };
    }
  }
}

/** Every process has answered a question: however slow the machine is, what was sent before has been looked at. */
async function everybodyTurned(): Promise<void> {
  const ports = [cluster.metricsPort, ...cluster.backendMetricsPorts];
  await Promise.all(ports.map(async (port) => (await fetch(`http://127.0.0.1:${port}/healthz`)).text()));
}

/** Throws bad input at everybody; gives how many datagrams each must have counted. */
async function pour(seed: number, count: number): Promise<{ forwarder: number; backend: number }> {
  const input = new BadInput(seed);
  const counted = { forwarder: 0, backend: 0 };
  const socket: Socket = createSocket('udp4').bind(0, '127.0.0.1');
  await once(socket, 'listening');
  socket.on('error', () => {});
  for (let i = 0; i < count; i++) {
    const { port, data, counted: by } = input.next();
    if (by !== undefined) counted[by] += 1;
    socket.send(data, port, '127.0.0.1', () => {});
    if (i % BATCH === BATCH - 1) await everybodyTurned();
  }
  socket.close();
  return counted;
}

/** Exchanges octets until `work` is over. */
async function meanwhile<T>(session: EchoSession, work: Promise<T>): Promise<T> {
  let over = false;
  const done = work.finally(() => {
    over = true;
  });
  while (!over) await session.exchange();
  return done;
}

function residentOctets(): number[] {
  return [cluster.forwarder, ...cluster.backends].map(({ pid }) => {
    if (pid === undefined) throw new Error('a process has ended');
    return Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' })) * 1024;
  });
}

async function drops(): Promise<{
  forwarder: number;
  backend: number;
  notSpp: number;
  undecryptable: number;
}> {
  const texts = await Promise.all(
    cluster.backendMetricsPorts.map(async (port) => (await fetch(`http://127.0.0.1:${port}/metrics`)).text()),
  );
  const sum = (labels: Record<string, string>) =>
    texts.reduce((total, text) => total + metric(text, 'parley_dropped_packets_total', labels), 0);
  return {
    forwarder: metric(await cluster.forwarderMetrics(), 'parley_forwarder_dropped_packets_total', {
      from: 'client',
    }),
    backend: sum({}),
    notSpp: sum({ reason: 'not-spp' }),
    undecryptable: sum({ reason: 'undecryptable' }),
  };
}

describe('bad input at a forwarder and two backends', () => {
  it('20 000 datagrams: no process ends, nothing grows, all is counted, and the session in progress gets its own octets back', async () => {
    const session = await EchoSession.open(relay.port);
    for (let i = 0; i < 20; i++) await session.exchange();

    await meanwhile(session, pour(1, WARM_UP));
    const residentBefore = residentOctets();
    const dropsBefore = await drops();
    const roundsBefore = session.rounds;

    const counted = await meanwhile(session, pour(2, DATAGRAMS));
    expect(session.rounds).toBeGreaterThan(roundsBefore);
    // Handshakes that truncated first packets began are given up after ten seconds.
    for (let i = 0; i < 10; i++) await session.exchange();

    const [sent, received] = session.hashes();
    expect(received).toBe(sent);
    expect(session.client.connection.closed).toBe(false);
    expect(session.client.quicEvents.map((event) => event.type)).not.toContain('closed');

    const dropsAfter = await drops();
    expect(dropsAfter.forwarder - dropsBefore.forwarder).toBeGreaterThan(counted.forwarder * COUNTED_SHARE);
    expect(dropsAfter.notSpp - dropsBefore.notSpp).toBeGreaterThan(counted.backend * COUNTED_SHARE);
    expect(dropsAfter.undecryptable).toBeGreaterThan(dropsBefore.undecryptable);
    expect(dropsAfter.backend - dropsBefore.backend).toBeGreaterThan(DATAGRAMS / 4);

    const grown = residentOctets().map((octets, i) => octets - residentBefore[i]!);
    for (const octets of grown) expect(octets).toBeLessThan(MAX_GROWTH_OCTETS);

    const late = await EchoSession.open(relay.port);
    await late.exchange();
    const [lateSent, lateReceived] = late.hashes();
    expect(lateReceived).toBe(lateSent);
    await late.client.close();
    await session.client.close();
    for (const { log } of [cluster.forwarder, ...cluster.backends])
      expect(log.filter((line) => /"level":(50|60)|uncaught|unhandled/i.test(line))).toEqual([]);
  });
});
