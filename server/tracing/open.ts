import { StartupError } from '../../net/startup.ts';
import { Tracing } from './call-trace.ts';
import { Spans, type TracingApi } from './spans.ts';

/** The package whose global tracer is used: an optional peer, since only those who trace need it. */
const API = '@opentelemetry/api';

/**
 * Spans through the tracer provider that the process has registered (`node --import ./tracing.js`, as OpenTelemetry's own guides have it);
 * without one the API drops them. `load` is for tests. Rejects with `StartupError` when the package is not there.
 */
export async function openTracing(
  backend: string,
  load: () => Promise<TracingApi> = () => import('@opentelemetry/api'),
): Promise<Tracing> {
  try {
    return new Tracing(new Spans(await load(), backend));
  } catch {
    throw new StartupError(
      `"traces" is on, but the package ${API} cannot be loaded; install it (npm install ${API}), or leave "traces" out.`,
    );
  }
}
