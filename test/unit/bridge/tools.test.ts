import { afterEach, describe, expect, test } from 'vitest';
import * as z from 'zod';
import type { Message } from '../../../proto/voice/index.ts';
import { type BackendHooks, tool } from '../../../server/index.ts';
import { checkpoints, functionCall, HookedBackend, resumingHello } from '../../support/hooked-backend.ts';
import { until } from '../../support/realtime.ts';

const backends: HookedBackend[] = [];
afterEach(async () => {
  for (const backend of backends.splice(0)) await backend.close();
});

function backendWith(
  ...tools: NonNullable<Exclude<BackendHooks['tools'], (...args: never[]) => unknown>>[number][]
) {
  const backend = new HookedBackend({ tools });
  backends.push(backend);
  return backend;
}

/** A tool whose result the test decides on. */
function heldTool(options: Partial<Parameters<typeof tool>[0]> = {}) {
  const calls: { args: unknown; again: boolean; signal: AbortSignal; answer: (value: unknown) => void }[] =
    [];
  const held = tool({
    name: 'held',
    ...options,
    execute: (args, { again, signal }) =>
      new Promise((answer) => {
        calls.push({ args, again, signal, answer });
      }),
  });
  return { held, calls };
}

const weather = tool({
  name: 'weather',
  description: 'The weather in a town',
  parameters: z.object({ town: z.string() }),
  execute: ({ town }) => ({ town, degrees: 21, secret: 'do-not-show' }),
});

const outputs = (backend: HookedBackend) =>
  backend.sockets.flatMap(({ events }) =>
    events
      .map(({ item }) => item as { type?: string; call_id: string; output: string } | undefined)
      .filter((item) => item?.type === 'function_call_output')
      .map((item) => [item!.call_id, item!.output] as const),
  );
const asked = (backend: HookedBackend) =>
  backend.sockets.map(({ events }) => events.filter(({ type }) => type === 'response.create').length);
const tick = (ms = 20) => new Promise((resolve) => setTimeout(resolve, ms));

describe('a tool that runs on the server', () => {
  test('is told to the model with the schema of its arguments, among the tools of the session', async () => {
    const backend = new HookedBackend(
      { tools: [weather] },
      {
        session: {
          type: 'realtime',
          instructions: 'Be brief.',
          tools: [{ type: 'function', name: 'of_page' }],
        },
      },
    );
    backends.push(backend);
    await backend.call();
    expect(backend.socket.events[0]).toEqual({
      type: 'session.update',
      session: {
        type: 'realtime',
        instructions: 'Be brief.',
        tools: [
          { type: 'function', name: 'of_page' },
          {
            type: 'function',
            name: 'weather',
            description: 'The weather in a town',
            parameters: {
              type: 'object',
              properties: { town: { type: 'string' } },
              required: ['town'],
            },
          },
        ],
      },
    });
  });

  test('gives the model its result and has it go on; the page sees neither the call nor the result', async () => {
    const backend = backendWith(weather);
    const page = await backend.call();
    const { made, done } = functionCall('weather', { town: 'Ulm' });
    backend.socket.emit(...made);
    await tick();
    expect(outputs(backend)).toEqual([]);
    backend.socket.emit(done);
    await until(() => outputs(backend).length === 1, 'the result');
    expect(outputs(backend)).toEqual([['call_1', '{"town":"Ulm","degrees":21,"secret":"do-not-show"}']]);
    const result = backend.socket.events.find(
      ({ item }) => (item as Message)?.type === 'function_call_output',
    )!;
    expect(backend.socket.events.at(-1)).toMatchObject({ type: 'response.create' });
    const words = { id: 'item_words', type: 'message', role: 'assistant', content: [] };
    backend.socket.emit(
      { type: 'conversation.item.added', previous_item_id: 'item_call_1', item: result.item },
      { type: 'response.created', response: { id: 'resp_2', conversation_id: 'conv_1' } },
      { type: 'conversation.item.added', previous_item_id: (result.item as Message).id, item: words },
      { type: 'response.done', response: { id: 'resp_2', status: 'completed', output: [words] } },
    );
    await until(() => page.types().filter((type) => type === 'response.done').length === 2, 'the answer');
    expect(asked(backend)).toEqual([1]);
    const seen = JSON.stringify(page.messages.filter(({ type }) => !type.startsWith('parley.')));
    expect(seen).not.toMatch(/weather|do-not-show|call_1|Ulm/);
    expect(page.messages.find(({ type }) => type === 'response.done')).toMatchObject({
      response: { output: [] },
    });
    expect(page.messages.find(({ item }) => (item as Message)?.id === 'item_words')).toMatchObject({
      previous_item_id: null,
    });
  });

  test('that is to be shown is seen by the page as any other', async () => {
    const backend = backendWith(tool({ name: 'shown', showToPage: true, execute: () => 'seen' }));
    const page = await backend.call();
    const { made, done } = functionCall('shown', {});
    backend.socket.emit(...made, done);
    await until(
      () => outputs(backend).length === 1 && page.find('response.done') !== undefined,
      'the result',
    );
    expect(page.types().filter((type) => type.startsWith('response.'))).toHaveLength(6);
  });

  test('is not answered when its response was cancelled, and is told so', async () => {
    const { held, calls } = heldTool();
    const backend = backendWith(held);
    await backend.call();
    const { made, done } = functionCall('held', {}, { status: 'cancelled' });
    backend.socket.emit(...made);
    await until(() => calls.length === 1, 'the call');
    backend.socket.emit(done);
    expect(calls[0]!.signal.aborted).toBe(true);
    calls[0]!.answer('too late');
    await tick();
    expect(outputs(backend)).toEqual([]);
    expect(asked(backend)).toEqual([0]);
  });

  test.each([
    [
      'throws',
      () => {
        throw new Error('the database is gone');
      },
      '{"error":"The function held failed."}',
      'tools threw',
    ],
    [
      'hangs',
      () => new Promise(() => {}),
      '{"error":"The function held did not answer within 0.05 s."}',
      'tools late',
    ],
    [
      'gives what no JSON can hold',
      () => 1n,
      '{"error":"The function held gave a result that cannot be written as JSON."}',
      'tools threw',
    ],
    [
      'gives too much',
      () => 'x'.repeat(300_000),
      '{"error":"The function held gave a result that is too long."}',
      'tools nonsense',
    ],
  ])(
    'that %s is told to the model without its reasons, counted, and harms nothing',
    async (_, execute, output, failure) => {
      const backend = backendWith(tool({ name: 'held', timeoutMs: 50, execute }));
      const page = await backend.call();
      const other = await backend.call();
      const { made, done } = functionCall('held', {});
      backend.sockets[0]!.emit(...made, done);
      await until(() => outputs(backend).length === 1, 'the result');
      expect(outputs(backend)).toEqual([['call_1', output]]);
      expect(backend.failures).toEqual([failure]);
      expect(backend.lines.filter((line) => line.includes('The hook tools failed'))).toHaveLength(1);
      expect([page.closeInfo, other.closeInfo]).toEqual([undefined, undefined]);
    },
  );

  test('is not run with arguments that it does not take: the model is told what is wrong', async () => {
    const backend = backendWith(weather);
    await backend.call();
    const { made, done } = functionCall('weather', { town: 5 });
    backend.socket.emit(...made, done);
    await until(() => outputs(backend).length === 1, 'the result');
    expect(outputs(backend)[0]![1]).toMatch(
      /^\{"error":"The arguments of weather are not what it takes\. town: /,
    );
    expect(backend.failures).toEqual([]);
  });

  test('two of one response are both given before the model is asked to go on, once', async () => {
    const { held, calls } = heldTool();
    const backend = backendWith(held, weather);
    await backend.call();
    const slow = functionCall('held', {}, { id: 'slow' });
    const quick = functionCall('weather', { town: 'Ulm' }, { id: 'quick' });
    backend.socket.emit(...slow.made, quick.made.at(-1)!);
    backend.socket.emit({
      type: 'response.done',
      response: {
        id: 'resp_1',
        status: 'completed',
        output: [slow, quick].map(({ made }) => made.at(-1)!.item),
      },
    });
    await until(() => outputs(backend).length === 1, 'the quick one');
    expect(asked(backend)).toEqual([0]);
    calls[0]!.answer('slow');
    await until(() => outputs(backend).length === 2, 'the slow one');
    expect(asked(backend)).toEqual([1]);
  });

  test('beside a function of the page, it leaves it to the page to have the model go on', async () => {
    const backend = backendWith(weather);
    await backend.call();
    const ours = functionCall('weather', { town: 'Ulm' });
    const pages = functionCall('of_page', {}, { id: 'call_2' });
    backend.socket.emit(...ours.made, pages.made.at(-1)!);
    const output = [ours, pages].map(({ made }) => made.at(-1)!.item);
    backend.socket.emit({ type: 'response.done', response: { id: 'resp_1', status: 'completed', output } });
    await until(() => outputs(backend).length === 1, 'the result');
    await tick();
    expect(asked(backend)).toEqual([0]);
  });

  test('waits for a response that is under way, and asks again when the first try was refused', async () => {
    const { held, calls } = heldTool();
    const backend = backendWith(held);
    const page = await backend.call();
    const { made, done } = functionCall('held', {});
    backend.socket.emit(...made, done, {
      type: 'response.created',
      response: { id: 'resp_2', conversation_id: 'conv_1' },
    });
    await until(() => calls.length === 1, 'the call');
    calls[0]!.answer('now');
    await until(() => outputs(backend).length === 1, 'the result');
    expect(asked(backend)).toEqual([0]);
    backend.socket.emit({
      type: 'response.done',
      response: { id: 'resp_2', status: 'completed', output: [] },
    });
    expect(asked(backend)).toEqual([1]);
    const { event_id } = backend.socket.events.at(-1)!;
    backend.socket.emit(
      {
        type: 'error',
        error: { event_id, code: 'conversation_already_has_active_response', message: 'wait' },
      },
      { type: 'response.created', response: { id: 'resp_x', conversation_id: null } },
      { type: 'response.done', response: { id: 'resp_x', status: 'completed', output: [] } },
    );
    expect(asked(backend)).toEqual([2]);
    expect(page.find('error')).toBeUndefined();
  });

  test('stays when the page gives the session tools of its own, and is not among those that the page is shown', async () => {
    const backend = backendWith(weather);
    const page = await backend.call();
    const tools = [
      { type: 'function', name: 'of_page' },
      { type: 'function', name: 'weather', description: 'a page’s own' },
    ];
    await page.send({ type: 'session.update', session: { type: 'realtime', tools } } as { type: string });
    await until(() => backend.socket.events.length === 2, 'the update');
    const { session } = backend.socket.events[1] as unknown as {
      session: { tools: { name: string; description?: string }[] };
    };
    expect(session.tools.map(({ name, description }) => [name, description])).toEqual([
      ['of_page', undefined],
      ['weather', 'The weather in a town'],
    ]);
    backend.socket.emit({ type: 'session.updated', session });
    await until(() => page.find('session.updated') !== undefined, 'the news');
    expect(page.find('session.updated')).toMatchObject({ session: { tools: [{ name: 'of_page' }] } });
  });

  test('two of one name, and names that the API does not take, are refused when the backend starts', () => {
    expect(() => backendWith(weather, weather)).toThrow('hooks: Two tools are called weather.');
    expect(() => backendWith(tool({ name: 'a b', execute: () => 1 }))).toThrow(
      /^hooks: A tool's name must be/,
    );
    expect(() =>
      backendWith(tool({ name: 'list', parameters: z.array(z.string()), execute: () => 1 })),
    ).toThrow('hooks: The parameters of the tool list must be an object.');
  });
});

describe('a tool that runs while its upstream goes', () => {
  test('gives its result to the next one, when that was told of the call', async () => {
    const { held, calls } = heldTool();
    const backend = backendWith(held);
    await backend.call();
    const { made, done } = functionCall('held', { n: 1 });
    backend.socket.emit({ type: 'session.created', session: { type: 'realtime' } }, ...made, done);
    await until(() => calls.length === 1, 'the call');
    backend.socket.break();
    await until(() => backend.sockets.length === 2, 'another upstream');
    await until(
      () => backend.socket.events.some(({ item }) => (item as Message)?.type === 'function_call'),
      'the conversation',
    );
    calls[0]!.answer('still here');
    await until(() => outputs(backend).length === 1, 'the result');
    expect(asked(backend)).toEqual([0, 1]);
  });

  test('is forgotten when the next one was not: the model will call again', async () => {
    const { held, calls } = heldTool();
    const backend = backendWith(held);
    await backend.call();
    backend.socket.emit(...functionCall('held', { n: 1 }).made);
    await until(() => calls.length === 1, 'the call');
    backend.socket.break();
    await until(() => backend.sockets.length === 2, 'another upstream');
    expect(calls[0]!.signal.aborted).toBe(true);
    calls[0]!.answer('of no use');
    await tick();
    expect(outputs(backend)).toEqual([]);
  });

  test('a result that the upstream took along with it is given again', async () => {
    const backend = backendWith(weather);
    const page = await backend.call();
    const said = {
      id: 'said',
      type: 'message',
      role: 'assistant',
      content: [{ type: 'output_text', text: 'Let me see.' }],
    };
    const { made, done } = functionCall('weather', { town: 'Ulm' }, { before: 'said' });
    backend.socket.emit({ type: 'conversation.item.added', item: said }, ...made, done);
    await until(() => outputs(backend).length === 1, 'the result');
    backend.socket.break();
    await until(() => page.find('parley.conversation') !== undefined, 'the conversation');
    expect(page.find('parley.conversation')).toMatchObject({ lastItem: 'said' });
    await until(() => outputs(backend).length === 2, 'the result again');
    expect(asked(backend)).toEqual([1, 1]);
  });
});

describe('a tool that runs while its backend goes', () => {
  /** A call whose function was called and not answered, with a checkpoint that says so. */
  async function interrupted(options: Parameters<typeof heldTool>[0] = {}) {
    const { held, calls } = heldTool(options);
    const first = backendWith(held);
    const page = await first.call();
    await checkpoints(page, 1);
    const { made, done } = functionCall('held', { n: 1 });
    first.socket.emit({ type: 'session.created', session: { type: 'realtime' } }, ...made, done);
    await checkpoints(page, 2);
    const second = backendWith(held);
    const { page: again } = await second.open(resumingHello(page), { resume: '' });
    await until(() => again.find('parley.ready') !== undefined, 'the call goes on');
    // The page never saw the call: what it has, it has behind none of the items.
    expect(again.find('parley.ready')).toMatchObject({ call: { how: 'restored', lastItem: null } });
    return { second, calls, again };
  }

  test('runs again on the next, which is told', async () => {
    const { second, calls, again } = await interrupted();
    await until(() => calls.length === 2, 'the second run');
    expect(calls.map(({ args, again }) => [args, again])).toEqual([
      [{ n: 1 }, false],
      [{ n: 1 }, true],
    ]);
    calls[1]!.answer('after all');
    await until(() => outputs(second).length === 1, 'the result');
    expect(outputs(second)).toEqual([['call_1', 'after all']]);
    expect(asked(second)).toEqual([1]);
    expect(JSON.stringify(again.messages)).not.toContain('held');
  });

  test('does not when it must not run twice: the model is told that its effect is not known', async () => {
    const { second, calls } = await interrupted({ runAgain: false });
    await until(() => outputs(second).length === 1, 'the result');
    expect(outputs(second)[0]![1]).toContain('it may have had its effect, or not');
    expect(calls).toHaveLength(1);
  });
});
