import { pino } from 'pino';
import { isNumbered, type Message } from '../../proto/voice/index.ts';
import { checkHooks } from '../../server/check-hooks.ts';
import { parseBackendConfig } from '../../server/config.ts';
import type { BackendHooks, WebSocketLike } from '../../server/index.ts';
import { makeVoiceHandler } from '../../server/voice.ts';
import { type MemorySession, memorySessionPair } from './memory-session.ts';
import { until } from './realtime.ts';
import { HELLO, VoicePage } from './voice-page.ts';

/** A provider of the app's own, which the test plays: a WebSocket in shape. */
export class FakeSocket implements WebSocketLike {
  readyState = 1;
  readonly texts: string[] = [];
  readonly #listeners = new Map<string, ((event: never) => void)[]>();

  /** What it was sent, without audio. */
  get events(): Message[] {
    return this.texts
      .map((text) => JSON.parse(text) as Message)
      .filter(({ type }) => type !== 'input_audio_buffer.append');
  }

  send(text: string): void {
    this.texts.push(text);
  }

  close(): void {
    this.readyState = 3;
  }

  addEventListener(type: string, listener: (event: never) => void): void {
    this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), listener]);
  }

  emit(...events: Message[]): void {
    for (const event of events) this.#tell('message', { data: JSON.stringify(event) });
  }

  /** It breaks off. */
  break(code = 1011): void {
    this.readyState = 3;
    this.#tell('close', { code, reason: '' });
  }

  #tell(type: string, event: object): void {
    for (const listener of this.#listeners.get(type) ?? []) listener(event as never);
  }
}

/** One session of a page with the backend. */
export interface HookedSession {
  readonly page: VoicePage;
  readonly client: MemorySession;
  readonly served: Promise<void>;
}

/** A backend without a network, with an app's hooks, and everything that it counted and logged. */
export class HookedBackend {
  readonly sockets: FakeSocket[] = [];
  readonly failures: string[] = [];
  readonly lines: string[] = [];
  readonly #handler: (session: MemorySession) => Promise<void>;
  readonly #sessions: HookedSession[] = [];

  constructor(
    hooks: BackendHooks,
    config: Readonly<Record<string, unknown>> = {},
    details: Pick<Parameters<typeof makeVoiceHandler>[2], 'tracing' | 'calls'> = {},
  ) {
    checkHooks(hooks);
    const checked = parseBackendConfig(
      {
        name: 'backend-1',
        certificate: 'c',
        key: 'k',
        upstream: { kind: 'custom' },
        redialSeconds: 5,
        ...config,
      },
      'test',
    );
    const { signal } = new AbortController();
    const openUpstream = () => {
      const socket = new FakeSocket();
      this.sockets.push(socket);
      return socket;
    };
    this.#handler = makeVoiceHandler(
      checked,
      {},
      {
        serverId: '01',
        draining: signal,
        shutdown: signal,
        log: pino({ level: 'debug' }, { write: (line: string) => void this.lines.push(line) }),
        observer: { hookFailed: (hook, fault) => this.failures.push(`${hook} ${fault}`) },
        sealSecret: new Uint8Array(32),
        hooks: { openUpstream, timeoutMs: 60, ...hooks },
        ...details,
        ...(hooks.authenticate && { access: { subjectKey: new Uint8Array(32), refused: () => {} } }),
      },
    );
  }

  /** The latest upstream. */
  get socket(): FakeSocket {
    return this.sockets.at(-1)!;
  }

  /** A page comes, and says hello. */
  async open(
    hello: { readonly type: string } = HELLO,
    query: Record<string, string> = {},
  ): Promise<HookedSession> {
    const { client, server } = memorySessionPair();
    for (const [name, value] of Object.entries(query)) server.request.query.set(name, value);
    const page = new VoicePage(client);
    const session = { page, client, served: this.#handler(server) };
    this.#sessions.push(session);
    await page.start(hello);
    return session;
  }

  /** A call that is ready. */
  async call(): Promise<VoicePage> {
    const { page } = await this.open();
    await until(() => page.find('parley.ready') !== undefined || page.closeInfo !== undefined, 'the call');
    if (page.closeInfo !== undefined) throw new Error(`refused: ${page.closeInfo.reason}`);
    return page;
  }

  async close(): Promise<void> {
    for (const { client, served } of this.#sessions.splice(0)) {
      client.close();
      await served;
    }
  }
}

/** Waits until the page has been given so many checkpoints: one when its call begins, others after what is new. */
export function checkpoints(page: VoicePage, count: number): Promise<void> {
  const given = () => page.types().filter((type) => type === 'parley.checkpoint').length;
  return until(() => given() >= count, `${count} checkpoints`);
}

/** The hello of a page that goes on with a call elsewhere, as it stood after `page` had what it has. */
export function resumingHello(page: VoicePage, attachment = 1): { readonly type: string } {
  const { ticket } = (page.find('parley.ready') as unknown as { call: { ticket: string } }).call;
  const checkpoint = page.messages.findLast(({ type }) => type === 'parley.checkpoint');
  const resume = {
    ticket,
    attachment,
    messages: page.messages.filter(isNumbered).length,
    answers: [],
    nextAnswer: 0,
    microphoneSamples: 0,
    events: 0,
    ...(checkpoint && { checkpoint: checkpoint.sealed }),
  };
  return { ...HELLO, resume } as { type: string };
}

/** Events of a response that calls a function; `status` is how it ends. */
export function functionCall(
  name: string,
  args: unknown,
  { id = 'call_1', response = 'resp_1', status = 'completed', before = null as string | null } = {},
): { readonly made: Message[]; readonly done: Message } {
  const item = {
    id: `item_${id}`,
    type: 'function_call',
    status: 'completed',
    name,
    call_id: id,
    arguments: JSON.stringify(args),
  };
  const begun = { ...item, status: 'in_progress', arguments: '' };
  const place = { response_id: response, item_id: item.id, output_index: 0, call_id: id };
  return {
    made: [
      {
        type: 'response.created',
        response: { id: response, status: 'in_progress', output: [], conversation_id: 'conv_1' },
      },
      {
        type: 'response.output_item.added',
        response_id: response,
        output_index: 0,
        item: begun,
      },
      { type: 'conversation.item.added', previous_item_id: before, item: begun },
      { type: 'response.function_call_arguments.delta', ...place, delta: item.arguments },
      { type: 'response.function_call_arguments.done', ...place, name, arguments: item.arguments },
      { type: 'conversation.item.done', previous_item_id: before, item },
      { type: 'response.output_item.done', response_id: response, output_index: 0, item },
    ],
    done: {
      type: 'response.done',
      response: { id: response, status, output: [item], conversation_id: 'conv_1' },
    },
  };
}
