import { Audit } from '../../../server/realtime/local/audit.ts';
import type { ServerEvent } from '../../../server/realtime/local/events.ts';
import { LocalSession } from '../../../server/realtime/local/session.ts';
import { guarded, must, type Tape } from './tape.ts';

const MAX_STEPS = 80;
const STEP_SAMPLES = 480;
/** Timers that wait at a time: one per answer that is being spoken. */
const MAX_TIMERS = 4;

const TYPES = [
  'session.update',
  'input_audio_buffer.append',
  'input_audio_buffer.append',
  'input_audio_buffer.append',
  'input_audio_buffer.commit',
  'input_audio_buffer.clear',
  'conversation.item.create',
  'conversation.item.delete',
  'conversation.item.retrieve',
  'conversation.item.truncate',
  'response.create',
  'response.cancel',
  'output_audio_buffer.clear',
  '__proto__',
];

/** Timers of a run: they fire when the tape says so, not by a clock. */
class TapeTimers {
  readonly #waiting = new Map<number, () => void>();
  #next = 1;
  readonly #right = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout };

  get count(): number {
    return this.#waiting.size;
  }

  install(): void {
    const setTimer = (action: () => void): number => {
      this.#waiting.set(this.#next, action);
      return this.#next++;
    };
    globalThis.setTimeout = setTimer as unknown as typeof setTimeout;
    globalThis.clearTimeout = ((id: number) =>
      void this.#waiting.delete(id)) as unknown as typeof clearTimeout;
  }

  restore(): void {
    Object.assign(globalThis, this.#right);
  }

  fire(): void {
    for (const [id, action] of this.#waiting) {
      this.#waiting.delete(id);
      action();
      return;
    }
  }
}

/** The local realtime service's session and a client that sends its events in any order, whole or not. */
class HostileClient {
  readonly #tape: Tape;
  readonly #session: LocalSession;
  readonly #items: string[] = ['item_none'];
  readonly #committed = new Set<string>();
  readonly #began = new Set<string>();
  readonly #done = new Set<string>();
  #errors = 0;
  #answered = 0;

  constructor(tape: Tape) {
    this.#tape = tape;
    this.#session = new LocalSession({
      id: 'sess_fuzz',
      model: 'parrot',
      sink: { emit: (event) => this.#told(event), bufferedAmount: () => (tape.chance(5) ? 2 ** 24 : 0) },
      trail: new Audit().begin('sess_fuzz'),
      speed: 10,
      expiresAt: 0,
    });
  }

  /** An answer begins and ends once, and nothing of it comes after its end. */
  #told(event: ServerEvent): void {
    const order = 'answers begin and end once';
    must(JSON.stringify(event).length > 2, 'events are JSON', event.type);
    if (event.type === 'error') this.#errors += 1;
    if (event.type === 'response.created') {
      const { id = '' } = event.response;
      must(this.#began.size === this.#done.size && !this.#began.has(id), order, 'two at a time');
      this.#began.add(id);
    } else if (event.type === 'response.done') {
      const { id = '' } = event.response;
      must(this.#began.has(id) && !this.#done.has(id), order, 'an end without a beginning');
      this.#done.add(id);
      this.#answered += 1;
    } else if ('response_id' in event && event.type.startsWith('response.')) {
      const id = String(event.response_id);
      must(this.#began.has(id) && !this.#done.has(id), order, `${event.type} of one that is not under way`);
    } else if (event.type === 'input_audio_buffer.committed') {
      must(!this.#committed.has(event.item_id), 'turns are committed once', event.item_id);
      this.#committed.add(event.item_id);
    }
    if ('item' in event && event.item.id !== undefined && this.#items.length < 100)
      this.#items.push(event.item.id);
  }

  #audio(): string {
    const tape = this.#tape;
    if (tape.chance(8)) return tape.chance(50) ? '' : 'no base64!';
    const samples = new Int16Array(STEP_SAMPLES * (1 + tape.below(25)));
    const loud = tape.pick([0, 0, 200, 12_000, 32_767]);
    for (let i = 0; i < samples.length; i++) samples[i] = Math.round(Math.sin(i / 9) * loud);
    const octets = Buffer.from(samples.buffer);
    return octets.subarray(0, tape.chance(5) ? octets.length - 1 : octets.length).toString('base64');
  }

  /** A value that may stand where anything may. */
  #value(depth = 0): unknown {
    const tape = this.#tape;
    switch (tape.below(depth > 3 ? 6 : 8)) {
      case 0:
        return null;
      case 1:
        return tape.integer() * (tape.chance(20) ? -1.5 : 1);
      case 2:
        return 'x'.repeat(tape.below(300));
      case 3:
        return tape.chance(50);
      case 4:
        return tape.pick(this.#items);
      case 5:
        return tape.pick(['audio', 'text', 'user', 'realtime', 'server_vad', '\u0000']);
      case 6:
        return Array.from({ length: tape.below(5) }, () => this.#value(depth + 1));
      default:
        return Object.fromEntries(
          Array.from({ length: tape.below(4) }, () => [
            tape.pick(['type', 'id', 'audio', 'input', 'content', '__proto__', 'constructor', 'text']),
            this.#value(depth + 1),
          ]),
        );
    }
  }

  #update(): Record<string, unknown> {
    const tape = this.#tape;
    const detection = tape.pick([
      null,
      { type: 'server_vad', silence_duration_ms: 20 + tape.below(600), threshold: tape.below(256) / 255 },
      { type: 'semantic_vad', create_response: tape.chance(50), interrupt_response: tape.chance(50) },
    ]);
    return {
      type: 'realtime',
      output_modalities: [tape.pick(['audio', 'text'])],
      audio: { input: { turn_detection: detection } },
    };
  }

  #event(): unknown {
    const tape = this.#tape;
    const type = tape.pick(TYPES);
    const event: Record<string, unknown> = { type, event_id: 'e' };
    if (type === 'input_audio_buffer.append') event.audio = this.#audio();
    if (type === 'session.update') event.session = this.#update();
    if (type === 'conversation.item.create') {
      const content = [{ type: 'input_text', text: 'hello' }];
      event.item = {
        type: 'message',
        role: 'user',
        content,
        ...(tape.chance(30) && { id: tape.pick(this.#items) }),
      };
    }
    if (type.startsWith('conversation.item.')) event.item_id = tape.pick(this.#items);
    if (type.endsWith('truncate')) Object.assign(event, { content_index: 0, audio_end_ms: tape.below(4000) });
    if (type === 'response.create' && tape.chance(30)) event.response = { output_modalities: ['text'] };
    if (!tape.chance(15)) return event;
    if (tape.chance(20)) return this.#value();
    const field = tape.pick(Object.keys(event));
    if (tape.chance(40)) delete event[field];
    else event[field] = this.#value();
    return event;
  }

  run(timers: TapeTimers): string {
    const tape = this.#tape;
    guarded('start', () => this.#session.start());
    for (let step = 0; step < MAX_STEPS && !tape.ended; step++) {
      if (tape.chance(25)) guarded('a timer', () => timers.fire());
      else {
        // As it comes over the wire: what JSON cannot say does not arrive.
        const text = JSON.stringify(this.#event()) ?? 'null';
        guarded(`a client event ${text.slice(0, 200)}`, () => this.#session.receive(JSON.parse(text)));
      }
      must(timers.count <= MAX_TIMERS, 'timers are bounded', `${timers.count}`);
    }
    guarded('end', () => this.#session.end());
    must(timers.count === 0, 'nothing is left of a session', `${timers.count} timers`);
    return `${this.#answered > 0 ? 'answered' : 'silent'}${this.#errors > 0 ? ', faults' : ''}`;
  }
}

export function converse(tape: Tape): string {
  const timers = new TapeTimers();
  timers.install();
  try {
    return new HostileClient(tape).run(timers);
  } finally {
    timers.restore();
  }
}
