import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Process, startCluster, type TestCluster } from '../support/cluster.ts';
import { metric } from '../support/metrics.ts';
import { NodeClient } from '../support/node-client.ts';

const CALLS = 12;

let cluster: TestCluster;
interface EchoCall {
  readonly client: NodeClient;
  /** The worker that it is with, as its health path says. */
  readonly backend: string;
}
const calls: EchoCall[] = [];

async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let end = Date.now() + 40_000; !(await condition()); ) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const lines = ({ log }: Process, text: string) => log.filter((line) => line.includes(text));
const [BACKEND, FORWARDER] = [() => cluster.backends[0]!, () => cluster.forwarder];

beforeAll(async () => {
  cluster = await startCluster({ backends: 1, workers: 2, probeIntervalMs: 100, drainSeconds: 1 });
  for (const process of [BACKEND(), FORWARDER()])
    await until(() => lines(process, 'all workers are ready').length > 0, 'all workers');
});
afterAll(async () => {
  await Promise.all(calls.map(({ client }) => client.close()));
  await cluster?.close();
});

/** The process ID of a worker that was started last. */
function pidOf(process: Process, worker: number): number {
  const said = lines(process, 'worker is ready').map(
    (line) => JSON.parse(line) as { worker: number; pid: number },
  );
  return said.filter((line) => line.worker === worker).at(-1)!.pid;
}

async function dial(): Promise<EchoCall> {
  const client = await NodeClient.dial(cluster.forwarderPort, cluster.certificateHash);
  client.webTransport.request({ method: 'GET', authority: 'localhost', path: '/healthz' });
  client.webTransport.connectSession({ authority: 'localhost', path: '/echo' });
  client.wake();
  await client.event('sessionEstablished');
  const { body } = await client.event('response');
  const { backend } = JSON.parse(new TextDecoder().decode(body)) as { backend: string };
  return { client, backend };
}

async function expectAlive(some: readonly EchoCall[]): Promise<void> {
  const received = ({ client }: EchoCall) => client.connection.stats().packetsReceived;
  const before = some.map(received);
  for (const { client } of some) {
    client.connection.ping();
    client.wake();
  }
  await until(() => some.every((call, i) => received(call) > before[i]!), 'every call to answer');
  expect(some.some(({ client }) => client.connection.closed)).toBe(false);
}

const backendMetrics = async () =>
  (await fetch(`http://127.0.0.1:${cluster.backendMetricsPorts[0]}/metrics`)).text();

describe('backend and forwarder, each as two workers below a supervisor', () => {
  it('take calls with all of them, and show what each does on one port', async () => {
    for (let i = 0; i < CALLS; i++) calls.push(await dial());
    expect(new Set(calls.map(({ backend }) => backend))).toEqual(new Set(['backend-1/0', 'backend-1/1']));
    const [forwarder, backend] = [await cluster.forwarderMetrics(), await backendMetrics()];
    for (const worker of ['0', '1']) {
      expect(metric(forwarder, 'parley_forwarder_client_packets_total', { worker })).toBeGreaterThan(0);
      expect(metric(backend, 'parley_sessions', { worker })).toBe(
        calls.filter((call) => call.backend === `backend-1/${worker}`).length,
      );
    }
    const health = await fetch(`http://127.0.0.1:${cluster.backendMetricsPorts[0]}/healthz`);
    expect(health.status).toBe(200);
  });

  it("a forwarder's worker that dies is started again, and no call notices", async () => {
    const pid = pidOf(FORWARDER(), 0);
    process.kill(pid, 'SIGKILL');
    await expectAlive(calls);
    await until(() => pidOf(FORWARDER(), 0) !== pid, 'another worker');
    await expectAlive(calls);
    expect(metric(await cluster.forwarderMetrics(), 'parley_worker_restarts_total', { worker: '0' })).toBe(1);
  });

  it("a backend's worker that dies is started again, and only its calls notice", async () => {
    const [lost, kept] = ['backend-1/0', 'backend-1/1'].map((name) =>
      calls.filter(({ backend }) => backend === name),
    ) as [EchoCall[], EchoCall[]];
    const pid = pidOf(BACKEND(), 0);
    process.kill(pid, 'SIGKILL');
    for (const { client } of lost) {
      client.connection.ping();
      client.wake();
    }
    await until(() => lost.every(({ client }) => client.connection.closed), 'its calls to be told');
    await expectAlive(kept);
    await until(() => pidOf(BACKEND(), 0) !== pid, 'another worker');
    const fresh: EchoCall[] = [];
    await until(async () => {
      fresh.push(await dial());
      return fresh.at(-1)?.backend === 'backend-1/0';
    }, 'the new worker to take a call');
    calls.push(...fresh);
    await expectAlive(kept);
  });

  it('SIGTERM drains all workers, and the supervisor ends with them', async () => {
    await BACKEND().kill('SIGTERM');
    expect(lines(BACKEND(), '"draining"')).toHaveLength(2);
    expect(BACKEND().pid).toBeUndefined();
  });
});
