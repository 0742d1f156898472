export { workerSettings } from './settings.ts';
export { superviseBackend } from './supervise.ts';
