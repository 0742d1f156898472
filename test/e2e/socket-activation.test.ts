import { spawn, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { metric } from '../support/metrics.ts';
import { NodeClient } from '../support/node-client.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

let cluster: TestCluster;
const clients: NodeClient[] = [];

async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let end = Date.now() + 40_000; !(await condition()); ) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

beforeAll(async () => {
  cluster = await startCluster({ backends: 1, workers: 2, holdSocket: true, probeIntervalMs: 100 });
  const ready = () => cluster.forwarder.log.some((line) => line.includes('all workers are ready'));
  await until(ready, 'all workers');
});
afterAll(async () => {
  await Promise.all(clients.map((client) => client.close()));
  await cluster?.close();
});

async function expectAlive(): Promise<void> {
  const before = clients.map(({ connection }) => connection.stats().packetsReceived);
  for (const client of clients) {
    client.connection.ping();
    client.wake();
  }
  const all = () => clients.every(({ connection }, i) => connection.stats().packetsReceived > before[i]!);
  await until(all, 'every call to answer');
  expect(clients.some(({ connection }) => connection.closed)).toBe(false);
}

describe('a forwarder of two workers whose socket is handed over, as systemd does', () => {
  it('routes with both, which read the one socket', async () => {
    for (let i = 0; i < 8; i++) {
      const client = await NodeClient.dial(cluster.forwarderPort, cluster.certificateHash);
      clients.push(client);
      client.webTransport.connectSession({ authority: 'localhost', path: '/echo' });
      client.wake();
      await client.event('sessionEstablished');
    }
    await expectAlive();
    const up = metric(await cluster.forwarderMetrics(), 'parley_worker_up');
    expect(up).toBe(2);
  });

  it('killed with its workers and started again: packets waited, no call ends', async () => {
    await cluster.forwarder.kill('SIGKILL');
    for (const client of clients) {
      client.connection.ping();
      client.wake();
    }
    await cluster.forwarder.start();
    await expectAlive();
  });
});

describe('systemd-socket-activate', () => {
  const has = spawnSync('sh', ['-c', 'command -v systemd-socket-activate']).status === 0;

  it.skipIf(!has)('starts a forwarder with the first datagram, and that one is answered for', async () => {
    const socket = createSocket('udp4').bind(0, '127.0.0.1');
    await once(socket, 'listening');
    const { port } = socket.address();
    socket.close();
    await once(socket, 'close');
    const child = spawn(
      'systemd-socket-activate',
      [
        '--datagram',
        `--listen=127.0.0.1:${port}`,
        process.execPath,
        '--import',
        'tsx',
        'lb/main.ts',
        '--cluster',
        `${cluster.directory}/cluster.json`,
        '--listen',
        `127.0.0.1:${port}`,
        '--workers',
        '2',
      ],
      { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const lines: string[] = [];
    child.stdout.on('data', (data) => lines.push(String(data)));
    try {
      await new Promise((resolve) => setTimeout(resolve, 500));
      // Its first packet starts the forwarder, waits for it, and is the one that is answered.
      const client = await NodeClient.dial(port, cluster.certificateHash);
      clients.push(client);
      await client.quicEvent('handshakeConfirmed');
      await until(() => lines.join('').includes('all workers are ready'), 'the other worker too');
    } finally {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    }
  });
});
