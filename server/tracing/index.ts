export type { Tracing } from './call-trace.ts';
export { openTracing } from './open.ts';
