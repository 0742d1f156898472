import type { Context, Span, SpanOptions, Tracer } from '@opentelemetry/api';

/** What is used of OpenTelemetry's API. */
export type TracingApi = Pick<
  typeof import('@opentelemetry/api'),
  'trace' | 'ROOT_CONTEXT' | 'SpanKind' | 'SpanStatusCode'
>;

/** Makes spans of one backend. */
export class Spans {
  readonly api: TracingApi;
  readonly backend: string;
  readonly #tracer: Tracer;

  constructor(api: TracingApi, backend: string) {
    this.api = api;
    this.backend = backend;
    this.#tracer = api.trace.getTracer('parley-voice');
  }

  /** Begins a span below `parent`, or one of its own. */
  start(name: string, options: SpanOptions, parent?: Span): Span {
    const { ROOT_CONTEXT, trace } = this.api;
    const context: Context = parent === undefined ? ROOT_CONTEXT : trace.setSpan(ROOT_CONTEXT, parent);
    return this.#tracer.startSpan(name, options, context);
  }

  /** The span failed, with a short code as `error.type` (semantic conventions: low cardinality) and a sentence. */
  fail(span: Span, type: string, message: string): void {
    span.setAttribute('error.type', type);
    span.setStatus({ code: this.api.SpanStatusCode.ERROR, message });
  }
}
