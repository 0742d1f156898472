import type {
  ConversationItem,
  RealtimeAudioFormats,
  RealtimeConversationItemUserMessage,
} from 'openai/resources/realtime/realtime';
import { OCTETS_PER_SAMPLE, samplesToMs } from '../../../proto/voice/index.ts';
import type { AuditTrail } from './audit.ts';
import { chime } from './chime.ts';
import { type ClientEvent, clientEventSchema, type ResponseWish } from './client-events.ts';
import { defaultSession, sessionResource, updateSession, vadConfig } from './config.ts';
import { Conversation } from './conversation.ts';
import { ClientFault, type EventSink } from './events.ts';
import { shortId } from './ids.ts';
import { type Answer, type ResponseFrame, ResponseRun } from './response.ts';
import { callTool, chooseTool } from './tool-call.ts';
import { Turns } from './turns.ts';

/** One session of the local realtime service: client events in, server events out through the sink. */
export class LocalSession {
  readonly id: string;
  readonly #sink: EventSink;
  readonly #trail: AuditTrail;
  readonly #speed: number;
  readonly #expiresAt: number;
  readonly #conversation = new Conversation();
  readonly #onAppend: ((pcm: Uint8Array) => void) | undefined;
  readonly #turns: Turns;
  #config: ReturnType<typeof defaultSession>;
  #run: ResponseRun | undefined;
  /** What the caller said last, for an answer that is asked for later. */
  #lastTurn: Uint8Array | undefined;

  constructor(options: {
    id: string;
    model: string;
    sink: EventSink;
    trail: AuditTrail;
    speed: number;
    /** Unix time in seconds. */
    expiresAt: number;
    onAppend?: ((pcm: Uint8Array) => void) | undefined;
  }) {
    this.id = options.id;
    this.#sink = options.sink;
    this.#trail = options.trail;
    this.#speed = options.speed;
    this.#expiresAt = options.expiresAt;
    this.#onAppend = options.onAppend;
    this.#config = defaultSession(options.model);
    this.#turns = new Turns(
      this.#sink,
      {
        started: () => this.#speechStarted(),
        committed: (itemId, pcm) => this.#turnCommitted(itemId, pcm),
      },
      vadConfig(this.#config),
    );
  }

  start(): void {
    this.#sink.emit({ type: 'session.created', session: this.#resource() });
  }

  /** Takes one client event, parsed from JSON and not yet checked. A fault becomes an `error` event. */
  receive(value: unknown): void {
    const parsed = clientEventSchema.safeParse(value);
    const eventId = readEventId(value);
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      const param = issue?.path.map(String).join('.') ?? null;
      this.#fault(
        new ClientFault('invalid_value', `Invalid value: ${issue?.message ?? 'malformed event'}`, param),
        eventId,
      );
      return;
    }
    try {
      this.#handle(parsed.data);
    } catch (error) {
      if (!(error instanceof ClientFault)) throw error;
      this.#fault(error, eventId);
    }
  }

  /** The client has gone. */
  end(): void {
    this.#run?.abandon();
    this.#run = undefined;
    this.#trail.open = false;
  }

  #handle(event: ClientEvent): void {
    switch (event.type) {
      case 'input_audio_buffer.append':
        this.#append(event.audio);
        return;
      case 'input_audio_buffer.commit':
        this.#turns.commit();
        return;
      case 'input_audio_buffer.clear':
        this.#turns.clear();
        return;
      case 'session.update':
        this.#config = updateSession(this.#config, event.session);
        this.#turns.configure(vadConfig(this.#config));
        this.#sink.emit({ type: 'session.updated', session: this.#resource() });
        return;
      case 'conversation.item.create':
        this.#createItem(event.item as unknown as ConversationItem & { id?: string });
        return;
      case 'conversation.item.delete':
        this.#conversation.delete(event.item_id);
        this.#sink.emit({ type: 'conversation.item.deleted', item_id: event.item_id });
        return;
      case 'conversation.item.retrieve':
        this.#sink.emit({
          type: 'conversation.item.retrieved',
          item: this.#conversation.get(event.item_id, 'retrieve'),
        });
        return;
      case 'conversation.item.truncate':
        this.#truncate(event.item_id, event.content_index, event.audio_end_ms);
        return;
      case 'response.create':
        this.#createResponse(event.response);
        return;
      case 'response.cancel':
        if (this.#run === undefined) {
          throw new ClientFault(
            'response_cancel_not_active',
            'Cancellation failed: no active response found',
          );
        }
        this.#run.cancel('client_cancelled');
        return;
    }
  }

  #append(audio: string): void {
    const pcm = Buffer.from(audio, 'base64');
    if (pcm.length === 0 || pcm.length % OCTETS_PER_SAMPLE !== 0) {
      throw new ClientFault('invalid_value', 'The audio is no base64 of whole 16-bit samples.', 'audio');
    }
    this.#onAppend?.(pcm);
    this.#trail.append(pcm);
    this.#turns.append(pcm);
  }

  #truncate(itemId: string, contentIndex: number, audioEndMs: number): void {
    this.#conversation.truncate(itemId, contentIndex, audioEndMs);
    this.#trail.truncated(itemId, audioEndMs);
    this.#sink.emit({
      type: 'conversation.item.truncated',
      item_id: itemId,
      content_index: contentIndex,
      audio_end_ms: audioEndMs,
    });
  }

  #speechStarted(): void {
    const interrupts = this.#config.audio.input.turn_detection?.interrupt_response ?? true;
    if (interrupts) this.#run?.cancel('turn_detected');
  }

  #turnCommitted(itemId: string, pcm: Uint8Array): void {
    const seconds = samplesToMs(pcm.length / OCTETS_PER_SAMPLE) / 1000;
    this.#lastTurn = pcm;
    const item: RealtimeConversationItemUserMessage = {
      id: itemId,
      object: 'realtime.item',
      type: 'message',
      status: 'completed',
      role: 'user',
      content: [{ type: 'input_audio', transcript: '' }],
    };
    const previous = this.#conversation.add(itemId, item);
    this.#sink.emit({ type: 'input_audio_buffer.committed', previous_item_id: previous, item_id: itemId });
    this.#sink.emit({ type: 'conversation.item.added', previous_item_id: previous, item });
    this.#sink.emit({ type: 'conversation.item.done', previous_item_id: previous, item });
    const { transcription, turn_detection: turns } = this.#config.audio.input;
    if (transcription !== null) {
      const transcript = `(${seconds.toFixed(1)} seconds of speech)`;
      this.#conversation.replace(itemId, { ...item, content: [{ type: 'input_audio', transcript }] });
      this.#sink.emit({
        type: 'conversation.item.input_audio_transcription.completed',
        item_id: itemId,
        content_index: 0,
        transcript,
        usage: { type: 'duration', seconds },
      });
    }
    if (turns !== null && turns.create_response !== false && this.#run === undefined) {
      this.#createResponse(undefined);
    }
  }

  #createItem(given: ConversationItem & { id?: string }): void {
    const id = given.id ?? `item_${shortId()}`;
    const item = { ...given, id, object: 'realtime.item', status: 'completed' } as ConversationItem;
    const previous = this.#conversation.add(id, item);
    // What a function answered belongs to what the caller said.
    if (item.type !== 'function_call_output') this.#lastTurn = undefined;
    this.#sink.emit({ type: 'conversation.item.added', previous_item_id: previous, item });
    this.#sink.emit({ type: 'conversation.item.done', previous_item_id: previous, item });
  }

  #createResponse(wish: ResponseWish | undefined): void {
    if (this.#run !== undefined) {
      throw new ClientFault(
        'conversation_already_has_active_response',
        `Conversation already has an active response in progress: ${this.#run.id}. Wait until the response is finished before creating a new one.`,
      );
    }
    const call = chooseTool(
      wish?.tools ?? this.#config.tools,
      wish?.tool_choice ?? this.#config.tool_choice,
      writtenText(this.#conversation.last),
    );
    if (call !== undefined && this.#conversation.last?.type !== 'function_call_output') {
      callTool({
        call,
        sink: this.#sink,
        conversation: this.#conversation,
        frame: this.#frame('audio'),
      });
      return;
    }
    const modality = wish?.output_modalities?.[0] ?? this.#config.output_modalities[0] ?? 'audio';
    this.#run = new ResponseRun({
      answer: this.#answer(modality),
      frame: this.#frame(modality, wish?.metadata),
      sink: this.#sink,
      conversation: this.#conversation,
      trail: this.#trail,
      speed: this.#speed,
      finished: () => {
        this.#run = undefined;
      },
    });
    this.#run.start();
  }

  /** What the events of every response of this session say alike. */
  #frame(modality: 'text' | 'audio', metadata: Record<string, string> | null = null): ResponseFrame {
    const { format, voice } = this.#config.audio.output;
    return {
      conversation_id: this.#conversation.id,
      output_modalities: [modality],
      max_output_tokens: 'inf',
      audio: { output: { format: format as RealtimeAudioFormats, voice: String(voice) } },
      metadata,
    };
  }

  /** The caller's own words; a chime for words that were written, as this service cannot read aloud. */
  #answer(modality: 'text' | 'audio'): Answer {
    const spoken = this.#lastTurn;
    const { last } = this.#conversation;
    if (last?.type === 'function_call_output') {
      const pcm = modality === 'audio' ? (spoken ?? chime()) : new Uint8Array();
      return { modality, text: `The function answered: ${last.output}`, pcm };
    }
    if (spoken !== undefined) {
      const seconds = samplesToMs(spoken.length / OCTETS_PER_SAMPLE) / 1000;
      const text = `You spoke for ${seconds.toFixed(1)} seconds. This is what you said.`;
      return { modality, text, pcm: modality === 'audio' ? spoken : new Uint8Array() };
    }
    const written = writtenText(last);
    const text = written === undefined ? 'I am listening.' : `You wrote: ${written}`;
    return { modality, text, pcm: modality === 'audio' ? chime() : new Uint8Array() };
  }

  #resource() {
    return sessionResource(this.id, this.#expiresAt, this.#config);
  }

  #fault(fault: ClientFault, eventId: string | null): void {
    this.#sink.emit({
      type: 'error',
      error: {
        type: 'invalid_request_error',
        code: fault.code,
        message: fault.message,
        param: fault.param,
        event_id: eventId,
      },
    });
  }
}

function readEventId(value: unknown): string | null {
  if (typeof value !== 'object' || value === null || !('event_id' in value)) return null;
  return typeof value.event_id === 'string' ? value.event_id.slice(0, 512) : null;
}

function writtenText(item: ConversationItem | undefined): string | undefined {
  if (item?.type !== 'message') return undefined;
  for (const part of item.content) {
    if ('text' in part && typeof part.text === 'string') return part.text;
  }
  return undefined;
}
