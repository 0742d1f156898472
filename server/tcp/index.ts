export { TcpListener, type TcpListenerOptions } from './listener.ts';
export { addTcpMetrics } from './metrics.ts';
