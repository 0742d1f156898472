export { serveSupervisor, workerIndex } from './channel.ts';
export { parseWorkerCount } from './count.ts';
export { mergeMetrics } from './merge.ts';
export { runSupervisor, Supervisor, supervisorRegistry } from './supervisor.ts';
export { backoffMs } from './worker.ts';
