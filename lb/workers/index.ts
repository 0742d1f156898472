export { type WorkerPlace, workerTunnels } from './settings.ts';
export { superviseForwarder } from './supervise.ts';
