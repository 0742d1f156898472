import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { choosePacketCiphers } from '../../net/ciphers/index.ts';
import { QuicEndpoint } from '../../proto/quic/index.ts';
import { startCluster } from '../support/cluster.ts';
import { NodeClient } from '../support/node-client.ts';
import { print, table } from './table.ts';

/**
 * First packets from forged addresses against one backend behind a forwarder, while newcomers dial it: how long these wait.
 *
 *     node --import tsx test/bench/flood.ts [packets per second] [seconds]
 */
const PER_SECOND = Number(process.argv[2] ?? 4700);
const SECONDS = Number(process.argv[3] ?? 10);
const DISTINCT = 2000;
const SOURCES = 50;
const TICK_MS = 10;
const DIAL_EVERY_MS = 250;

const random = (length: number) => new Uint8Array(randomBytes(length));

/** First packets of that many clients, each whole and right. */
function firstPackets(): Uint8Array[] {
  const endpoint = new QuicEndpoint({
    ciphers: choosePacketCiphers().ciphers,
    random,
    connectionIdGenerator: { length: 8, generate: () => random(8) },
  });
  return Array.from({ length: DISTINCT }, () => {
    const remote = { host: '127.0.0.1', port: 1 };
    endpoint.connect({ remote, serverName: 'localhost', alpnProtocols: ['h3'], trust: { kind: 'any' } }, 0);
    const packet = endpoint.transmit(0)!.data;
    while (endpoint.transmit(0) !== undefined);
    return packet;
  });
}

/** Sockets of many addresses, which never answer: what a forged address looks like to the server. */
async function sources(): Promise<Socket[]> {
  return Promise.all(
    Array.from({ length: SOURCES }, async (_, i) => {
      const socket = createSocket('udp4');
      await new Promise<void>((resolve) => socket.bind(0, `127.9.0.${i + 1}`, resolve));
      return socket;
    }),
  );
}

function flood(sockets: readonly Socket[], packets: readonly Uint8Array[], port: number): () => number {
  let sent = 0;
  const start = performance.now();
  const timer = setInterval(() => {
    const due = ((performance.now() - start) * PER_SECOND) / 1000;
    for (; sent < due; sent++)
      sockets[sent % SOURCES]!.send(packets[sent % DISTINCT]!, port, '127.0.0.1', () => {});
  }, TICK_MS);
  return () => {
    clearInterval(timer);
    return sent;
  };
}

/** Milliseconds until a newcomer is connected, and of one request after that. */
async function newcomer(port: number, hash: string): Promise<{ connectMs: number; echoMs: number }> {
  const start = performance.now();
  const client = await NodeClient.dial(port, hash);
  try {
    await client.quicEvent('connected');
    const connected = performance.now();
    client.webTransport.request({ method: 'GET', authority: 'localhost', path: '/healthz' });
    client.wake();
    await client.event('response');
    return { connectMs: connected - start, echoMs: performance.now() - connected };
  } finally {
    await client.close();
  }
}

async function newcomers(port: number, hash: string): Promise<Record<'connectMs' | 'echoMs', number[]>> {
  const waiting: Promise<{ connectMs: number; echoMs: number } | undefined>[] = [];
  for (let end = performance.now() + SECONDS * 1000; performance.now() < end; ) {
    waiting.push(newcomer(port, hash).catch(() => undefined));
    await new Promise((resolve) => setTimeout(resolve, DIAL_EVERY_MS));
  }
  const all = await Promise.all(waiting);
  const served = all.flatMap((one) => (one === undefined ? [] : [one]));
  print(`${served.length} of ${all.length} newcomers served`);
  return { connectMs: served.map(({ connectMs }) => connectMs), echoMs: served.map(({ echoMs }) => echoMs) };
}

function figures(name: string, values: readonly number[]): string[] {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) =>
    (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(1);
  return [name, at(0.5), at(0.99)];
}

const cluster = await startCluster({ backends: 1 });
const sockets = await sources();
try {
  const { forwarderPort, certificateHash } = cluster;
  const packets = firstPackets();
  const quiet = await newcomers(forwarderPort, certificateHash);
  const stop = flood(sockets, packets, forwarderPort);
  const flooded = await newcomers(forwarderPort, certificateHash);
  print(`${stop()} first packets from ${SOURCES} addresses`);
  print(
    table(
      ['ms', 'p50', 'p99'],
      [
        figures('connect, quiet', quiet.connectMs),
        figures('request, quiet', quiet.echoMs),
        figures('connect, flood', flooded.connectMs),
        figures('request, flood', flooded.echoMs),
      ],
    ),
  );
} finally {
  for (const socket of sockets) socket.close();
  await cluster.close();
}
