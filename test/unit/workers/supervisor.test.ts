import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { backoffMs, mergeMetrics, parseWorkerCount, Supervisor } from '../../../net/workers/index.ts';
import { until } from '../../routing/fakes.ts';
import { metric } from '../../support/metrics.ts';

const script = fileURLToPath(new URL('worker-script.mjs', import.meta.url));
const running: Supervisor[] = [];
afterEach(async () => {
  for (const supervisor of running.splice(0)) await supervisor.stop('SIGTERM');
});

function supervise(count: number, what: string, said: string[] = []): Supervisor {
  const log = pino({ level: 'info' }, { write: (line: string) => void said.push(line) });
  const supervisor = new Supervisor({
    count,
    log,
    operators: { host: '127.0.0.1', port: 0 },
    setting: '"metrics"',
    script,
    args: [what],
    execArgv: [],
  });
  running.push(supervisor);
  return supervisor;
}

const metrics = async ({ operators }: Supervisor) =>
  (await fetch(`http://127.0.0.1:${operators?.port}/metrics`)).text();

describe('--workers', () => {
  it('takes 1 to 128 and auto, and says so in one sentence for anything else', () => {
    expect(parseWorkerCount('auto', 6)).toBe(6);
    expect(parseWorkerCount('128')).toBe(128);
    for (const wrong of ['0', '1000', '-1', '2.5', '', 'two', '1e1'])
      expect(() => parseWorkerCount(wrong)).toThrow(
        `--workers must be a number from 1 to 128, or auto, not "${wrong}".`,
      );
  });

  it('starts one that ends again after a while that grows to a bound', () => {
    expect([1, 2, 3, 20].map(backoffMs)).toEqual([250, 500, 1000, 15_000]);
  });
});

describe('a supervisor', () => {
  it('shows the metrics of all workers on one port, each sample with its worker', async () => {
    const supervisor = supervise(2, '');
    await supervisor.start();
    const text = await metrics(supervisor);
    expect(metric(text, 'a_total', { worker: '0' })).toBe(0);
    expect(metric(text, 'a_total', { worker: '1' })).toBe(1);
    expect(metric(text, 'parley_worker_up', { worker: '1' })).toBe(1);
    expect(text.match(/# HELP a_total/g)).toHaveLength(1);
  });

  it('starts a worker that dies again, while the other one stays', async () => {
    const supervisor = supervise(2, '');
    await supervisor.start();
    const [first, second] = supervisor.workers.map(({ pid }) => pid);
    void supervisor.answer({ method: 'POST', path: '/die', query: '1' });
    await until(() => supervisor.workers[1]!.restarts === 1 && supervisor.workers[1]!.isReady, 'the restart');
    expect(supervisor.workers[0]!.pid).toBe(first);
    expect(supervisor.workers[1]!.pid).not.toBe(second);
    expect(metric(await metrics(supervisor), 'parley_worker_restarts_total', { worker: '1' })).toBe(1);
  });

  it('has every worker read its files again on a reload', async () => {
    const said: string[] = [];
    const supervisor = supervise(2, '', said);
    await supervisor.start();
    const ready = () => said.filter((line) => line.includes('worker is ready')).length;
    expect(ready()).toBe(2);
    supervisor.reload();
    await until(() => ready() === 4, 'both workers to have had SIGHUP');
  });

  it('has workers that are only starting read their files again once they are ready', async () => {
    const said: string[] = [];
    const supervisor = supervise(2, '', said);
    const started = supervisor.start();
    supervisor.reload();
    await expect(started).resolves.toBeUndefined();
    const ready = () => said.filter((line) => line.includes('worker is ready')).length;
    await until(() => ready() === 4, 'both workers to have had SIGHUP');
    expect(supervisor.workers.map(({ restarts }) => restarts)).toEqual([0, 0]);
  });

  it('told to end while it starts, ends without a complaint', async () => {
    const supervisor = supervise(2, '');
    const started = supervisor.start();
    await new Promise((resolve) => setTimeout(resolve, 20));
    await supervisor.stop('SIGTERM');
    await expect(started).resolves.toBeUndefined();
    expect(supervisor.workers.map(({ isRunning }) => isRunning)).toEqual([false, false]);
  });

  it('ends all when one cannot start at all, and says so', async () => {
    const supervisor = supervise(2, 'fails');
    await expect(supervisor.start()).rejects.toThrow('A worker could not start; what it says is above.');
    expect(supervisor.workers.map(({ isRunning }) => isRunning)).toEqual([false, false]);
  });
});

it('metrics of workers are merged sample by sample, labels and all', () => {
  const text = (value: number) =>
    `# HELP b B\n# TYPE b gauge\nb{x="}",y="1"} ${value}\n\n# HELP c C\n# TYPE c counter\nc ${value}\nd{} 4\n`;
  expect(mergeMetrics([0, 1].map((worker) => ({ worker, text: text(worker) })))).toBe(
    [
      '# HELP b B\n# TYPE b gauge\nb{worker="0",x="}",y="1"} 0\nb{worker="1",x="}",y="1"} 1\n',
      '# HELP c C\n# TYPE c counter\nc{worker="0"} 0\nd{worker="0"} 4\nc{worker="1"} 1\nd{worker="1"} 4\n\n',
    ].join('\n'),
  );
});
