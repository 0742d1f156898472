import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Datagram } from '../../../proto/quic/index.ts';
import { Network } from '../../chaos/networks.ts';
import { until } from '../../routing/fakes.ts';

const REMOTE = { host: '127.0.0.1', port: 4433 };
const DELAY_MS = 20;

/** Sends back what comes, and keeps from which port. */
async function forwarder(): Promise<{ port: number; from: number[]; socket: Socket }> {
  const socket = createSocket('udp4').bind(0, '127.0.0.1');
  onTestFinished(() => void socket.close());
  await once(socket, 'listening');
  const from: number[] = [];
  socket.on('message', (data, { port }) => {
    from.push(port);
    socket.send(data, port, '127.0.0.1');
  });
  return { port: socket.address().port, from, socket };
}

async function client(network: Network) {
  const socket = await network.open();
  onTestFinished(() => socket.close());
  const got: Datagram[] = [];
  socket.onDatagram(({ data, path }) => got.push({ data: data.slice(), path }));
  const memory = new Uint8Array(4);
  const send = (value: number) => {
    memory.fill(value);
    socket.send({ data: memory, path: { local: socket.local, remote: REMOTE } });
  };
  return { socket, got, send };
}

describe('a network of the chaos run', () => {
  it('brings packets to any forwarder and back, in order, later by its delay each way, from memory that is used again', async () => {
    const network = new Network({ seed: 1, delayMs: DELAY_MS, lossRate: 0 });
    const forwarders = [await forwarder(), await forwarder()];
    network.forwarders = forwarders.map(({ port }) => port);
    const { socket, got, send } = await client(network);
    const begun = performance.now();
    for (let i = 0; i < 100; i++) send(i);
    await until(() => got.length === 100, 'all of them');
    expect(performance.now() - begun).toBeGreaterThanOrEqual(2 * DELAY_MS - 2);
    expect(new Set(got.map(({ data }) => data[0])).size).toBe(100);
    expect(got.every(({ data }) => data.every((octet) => octet === data[0]))).toBe(true);
    // The client sees one peer, wherever its packets went.
    for (const { path } of got) expect(path).toEqual({ local: socket.local, remote: REMOTE });
    for (const { from } of forwarders) expect(from.length).toBeGreaterThan(25);
    network.forwarders = [forwarders[0]!.port];
    const before = forwarders[1]!.from.length;
    for (let i = 0; i < 20; i++) send(i);
    await until(() => got.length === 120, 'those by one forwarder');
    expect(forwarders[1]!.from).toHaveLength(before);
  });

  it('loses its share, and everything while it is cut', async () => {
    const network = new Network({ seed: 2, delayMs: 0, lossRate: 0.5 });
    const { port, from } = await forwarder();
    network.forwarders = [port];
    const { got, send } = await client(network);
    for (let i = 0; i < 400; i++) send(i);
    network.lossRate = 1;
    // What came to the network before the cut is under way still; its echoes meet it.
    await until(() => from.length > 140, 'about half of them');
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(from.length).toBeLessThan(260);
    expect(got).toEqual([]);
    network.lossRate = 0;
    send(7);
    await until(() => got.length === 1, 'one that is not lost');
  });

  it('gives its clients other addresses, and brings nothing to the old ones any more', async () => {
    const network = new Network({ seed: 3, delayMs: 0, lossRate: 0 });
    const { port, from, socket } = await forwarder();
    network.forwarders = [port];
    const { got, send } = await client(network);
    send(1);
    await until(() => got.length === 1, 'the first');
    await network.rebind();
    socket.send(Uint8Array.of(9), from[0]!, '127.0.0.1');
    send(2);
    await until(() => got.length === 2, 'the second');
    expect(from[1]).not.toBe(from[0]);
    expect(got.map(({ data }) => data[0])).toEqual([1, 2]);
  });
});
