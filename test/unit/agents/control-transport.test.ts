import { RealtimeAgent, RealtimeSession } from '@openai/agents-realtime';
import { afterEach, describe, expect, it } from 'vitest';
import type { Message } from '../../../proto/voice/index.ts';
import { ControlTransport } from '../../../server/agents/index.ts';
import type { BackendHooks, CallControl } from '../../../server/index.ts';
import { runFeatures } from '../../support/agent-features.ts';
import { checkpoints, HookedBackend, resumingHello } from '../../support/hooked-backend.ts';
import { until } from '../../support/realtime.ts';

const backends: HookedBackend[] = [];
afterEach(async () => {
  for (const backend of backends.splice(0)) await backend.close();
});

function backendWith(hooks: BackendHooks): HookedBackend {
  const backend = new HookedBackend(hooks);
  backends.push(backend);
  return backend;
}

/** A call, and its control side. */
async function controlled() {
  const controls: CallControl[] = [];
  const backend = backendWith({ onCall: (control) => void controls.push(control) });
  const page = await backend.call();
  await until(() => controls.length === 1, 'the control side');
  return { backend, page, control: controls[0]!, controls };
}

const settle = () => new Promise<void>((resolve) => setTimeout(resolve, 5));
const sent = (backend: HookedBackend) => backend.socket.events;

describe('a RealtimeSession on the control side of a call', () => {
  it('has its settings, tools, usage, images, approvals and guardrails, while the audio stays with the page', async () => {
    const { backend, page, control } = await controlled();
    const transport = new ControlTransport(control);
    const changes: string[] = [];
    transport.on('connection_change', (status) => changes.push(status));
    const cancelled = () => sent(backend).some(({ type }) => type === 'response.cancel');
    const session = await runFeatures(
      transport,
      {
        emit: (...events) => backend.socket.emit(...events),
        sent: () => sent(backend),
        interrupted: cancelled,
        settle,
      },
      async () => {},
    );
    // What the page hears and sees is its own business.
    expect(page.types()).toContain('response.output_audio_transcript.delta');
    expect(page.find('conversation.item.create')).toBeUndefined();
    expect(transport.muted).toBeNull();
    expect(() => transport.mute()).toThrow(/muted by its page/);
    expect(() => transport.sendAudio()).toThrow(/stays between its page and its upstream/);
    session.close();
    expect(changes).toEqual(['connecting', 'connected', 'disconnected']);
    expect(() => transport.interrupt()).toThrow(/no call/);
    expect(control.over).toBe(false);
    expect(page.closeInfo).toBeUndefined();
  });

  it('says that audio was interrupted once the model was told how much was heard', async () => {
    const { backend, control } = await controlled();
    const transport = new ControlTransport(control);
    let interrupted = 0;
    transport.on('audio_interrupted', () => {
      interrupted += 1;
    });
    const connected = transport.connect({ apiKey: '' });
    backend.socket.emit({ type: 'session.updated', event_id: 'e', session: {} });
    await connected;
    backend.socket.emit({
      type: 'conversation.item.truncated',
      item_id: 'i',
      content_index: 0,
      audio_end_ms: 20,
    });
    expect(interrupted).toBe(1);
  });

  it('ends with the call, and begins with none that is over', async () => {
    const { backend, page, control } = await controlled();
    const session = new RealtimeSession(new RealtimeAgent({ name: 'clerk' }), {
      transport: new ControlTransport(control),
    });
    const connected = session.connect({ apiKey: '' });
    await until(() => sent(backend).length > 0, 'the settings');
    backend.socket.emit({ type: 'session.updated', event_id: 'e', session: {} });
    await connected;
    const gone = new Promise<void>((resolve) => {
      session.transport.on('connection_change', (status) => status === 'disconnected' && resolve());
    });
    await page.endControl();
    await gone;
    await control.ended;
    expect(control.over).toBe(true);
    expect(() => session.sendMessage('hello')).toThrow(/no call/);
    await expect(new ControlTransport(control).connect({ apiKey: '' })).rejects.toThrow('The call is over.');
  });
});

describe('the control side of a call', () => {
  it('takes no audio, no format that the call cannot carry, and nothing when the call is over', async () => {
    const { page, control } = await controlled();
    const send = (event: object) => () => control.send(event as { type: string });
    expect(send({ type: 'input_audio_buffer.append', audio: '' })).toThrow(/belongs to the page/);
    expect(send({})).toThrow(/has a type/);
    const audio = { input: { format: { type: 'audio/pcmu' } } };
    expect(send({ type: 'session.update', session: { type: 'realtime', audio } })).toThrow(TypeError);
    for (let i = 0; i < 16; i++) control.onEvent(() => {});
    expect(() => control.onEvent(() => {})).toThrow('A call has 16 listeners already.');
    await page.endControl();
    await control.ended;
    expect(send({ type: 'response.create' })).toThrow(/the call is over/);
    control.interrupt();
  });

  it('a hook or a listener that throws is counted, and the call goes on', async () => {
    const backend = backendWith({
      onCall: (control) => {
        control.onEvent(() => {
          throw new Error('a listener of ours');
        });
        throw new Error('a hook of ours');
      },
    });
    const page = await backend.call();
    backend.socket.emit({ type: 'session.created', session: {} });
    await until(() => page.types().includes('session.created'), 'the event');
    expect(backend.failures).toEqual(['onCall threw', 'onCall threw']);
    expect(page.closeInfo).toBeUndefined();
  });

  it('stands beside the tools of the server and the events of the page, and is given anew where a call goes on', async () => {
    const { backend, page, control, controls } = await controlled();
    const heard: Message[] = [];
    const stop = control.onEvent((event) => void heard.push(event));
    control.send({ type: 'response.create' });
    await page.send({
      type: 'conversation.item.create',
      item: { type: 'message', role: 'user', content: [] },
    } as never);
    await until(() => sent(backend).length === 2, 'both events');
    expect(
      sent(backend)
        .map(({ type }) => type)
        .sort(),
    ).toEqual(['conversation.item.create', 'response.create']);
    backend.socket.emit(
      { type: 'response.created', response: { id: 'r' } },
      { type: 'response.output_audio.delta' },
    );
    expect(heard.map(({ type }) => type)).toEqual(['response.created']);
    stop();
    backend.socket.emit({ type: 'rate_limits.updated' });
    expect(heard).toHaveLength(1);
    await checkpoints(page, 1);
    const other = backendWith({ onCall: (on) => void controls.push(on) });
    await other.open(resumingHello(page));
    await until(() => controls.length === 2, 'the control side elsewhere');
    expect(controls.map(({ id, goesOn }) => ({ id, goesOn }))).toEqual([
      { id: control.id, goesOn: false },
      { id: control.id, goesOn: true },
    ]);
  });
});
