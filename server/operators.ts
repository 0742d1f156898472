import type { OperatorHandler } from '../net/operator-port.ts';
import { plainAnswer } from '../net/operator-port.ts';
import type { BackendMetrics } from './metrics.ts';

/** What operators are answered: `/metrics` for Prometheus and `/healthz`. */
export function operatorHandler(
  metrics: BackendMetrics,
  health: () => { readonly status: number; readonly body: string },
): OperatorHandler {
  return async ({ path }) => {
    if (path === '/healthz') return { contentType: 'application/json', ...health() };
    if (path === '/metrics') {
      const { registry } = metrics;
      return { status: 200, contentType: registry.contentType, body: await registry.metrics() };
    }
    return plainAnswer(404, 'Nothing here but /metrics and /healthz.\n');
  };
}
