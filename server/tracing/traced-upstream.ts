import type { Attributes, Span } from '@opentelemetry/api';
import type { Message } from '../../proto/voice/index.ts';
import { type Upstream, type UpstreamEnd, WrappedUpstream } from '../realtime/index.ts';
import type { Spans } from './spans.ts';

/** Responses whose end is waited for at a time: the API makes one after the other. */
const MAX_RESPONSES = 8;

interface ResponseTrace {
  readonly span: Span;
  spoke: boolean;
}

/** An upstream whose life, and whose responses, are spans. */
export class TracedUpstream extends WrappedUpstream {
  readonly #spans: Spans;
  readonly #attributes: Attributes;
  readonly #dialledAt = Date.now();
  readonly #responses = new Map<string, ResponseTrace>();
  #span: Span | undefined;

  constructor(upstream: Upstream, spans: Spans, attributes: Attributes) {
    super(upstream);
    this.#spans = spans;
    this.#attributes = attributes;
  }

  /** It is this call's, since it was dialled. */
  begin(call: Span): void {
    const kind = this.#spans.api.SpanKind.CLIENT;
    const options = { kind, startTime: this.#dialledAt, attributes: this.#attributes };
    this.#span = this.#spans.start('upstream', options, call);
  }

  override onOpen(listener: () => void): void {
    super.onOpen(() => {
      this.#span?.addEvent('open');
      listener();
    });
  }

  override onEvent(listener: (event: Message) => void): void {
    super.onEvent((event) => {
      this.#note(event);
      listener(event);
    });
  }

  override onClose(listener: (end: UpstreamEnd) => void): void {
    super.onClose((end) => {
      this.#closed(end);
      listener(end);
    });
  }

  override close(): void {
    super.close();
    this.#end();
  }

  #note(event: Message): void {
    switch (event.type) {
      case 'response.output_audio.delta':
        this.#spoke(event.response_id);
        break;
      case 'session.created':
        this.#span?.setAttributes(sessionAttributes(event.session));
        break;
      case 'response.created':
        this.#responseBegan(event.response);
        break;
      case 'response.done':
        this.#responseDone(event.response);
        break;
    }
  }

  #responseBegan(response: unknown): void {
    const id = fieldOf(response, 'id');
    if (typeof id !== 'string' || this.#span === undefined) return;
    if (this.#responses.size >= MAX_RESPONSES) {
      const [oldest] = this.#responses.keys();
      this.#responses.get(oldest!)?.span.end();
      this.#responses.delete(oldest!);
    }
    const span = this.#spans.start(
      'response',
      {
        kind: this.#spans.api.SpanKind.CLIENT,
        attributes: { ...this.#attributes, 'gen_ai.operation.name': 'chat', 'gen_ai.response.id': id },
      },
      this.#span,
    );
    this.#responses.get(id)?.span.end();
    this.#responses.set(id, { span, spoke: false });
  }

  #spoke(id: unknown): void {
    const response = this.#responses.get(id as string);
    if (response === undefined || response.spoke) return;
    response.spoke = true;
    response.span.addEvent('first audio');
  }

  #responseDone(response: unknown): void {
    const id = fieldOf(response, 'id') as string;
    const span = this.#responses.get(id)?.span;
    if (span === undefined) return;
    this.#responses.delete(id);
    const status = fieldOf(response, 'status');
    const usage = fieldOf(response, 'usage');
    span.setAttributes({
      ...(typeof status === 'string' && { 'gen_ai.response.finish_reasons': [status] }),
      ...numberAttribute('gen_ai.usage.input_tokens', fieldOf(usage, 'input_tokens')),
      ...numberAttribute('gen_ai.usage.output_tokens', fieldOf(usage, 'output_tokens')),
    });
    if (status === 'failed') {
      const code = fieldOf(fieldOf(fieldOf(response, 'status_details'), 'error'), 'code');
      this.#spans.fail(span, typeof code === 'string' ? code : '_OTHER', 'The response failed.');
    }
    span.end();
  }

  #closed({ code, message, closeCode }: UpstreamEnd): void {
    const span = this.#span;
    if (span === undefined) return;
    if (closeCode !== undefined) span.setAttribute('parley.upstream.close_code', closeCode);
    // Its time limit is no failure: the call goes on with a fresh one.
    if (code !== 'upstream_time_limit') this.#spans.fail(span, code, message);
    this.#end();
  }

  #end(): void {
    for (const { span } of this.#responses.values()) span.end();
    this.#responses.clear();
    this.#span?.end();
    this.#span = undefined;
  }
}

/** A field of what may be anything at all. */
function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function numberAttribute(name: string, value: unknown): Attributes {
  return typeof value === 'number' ? { [name]: value } : {};
}

function sessionAttributes(session: unknown): Attributes {
  const [id, model] = [fieldOf(session, 'id'), fieldOf(session, 'model')];
  return {
    ...(typeof id === 'string' && { 'gen_ai.conversation.id': id }),
    ...(typeof model === 'string' && { 'gen_ai.response.model': model }),
  };
}
