import { afterEach, beforeEach, it, vi } from 'vitest';
import { ParleyTransport } from '../../../browser/agents/index.ts';
import type { Message } from '../../../proto/voice/index.ts';
import { runFeatures } from '../../support/agent-features.ts';
import { arrive, FakeBrowserAudio } from './fake-audio.ts';
import { FakeBackend } from './fake-backend.ts';

const OPTIONS = { url: 'https://voice.example/voice', worklets: { microphone: 'm.js', playback: 'p.js' } };

let backends: FakeBackend[];
beforeEach(async () => {
  await FakeBrowserAudio.install();
  backends = FakeBackend.install();
});
afterEach(async () => {
  backends.at(-1)?.session.lose();
  await arrive();
  vi.unstubAllGlobals();
});

it('over ParleyTransport a session has its settings, tools, usage, images, approvals and guardrails', async () => {
  const sent = () =>
    backends[0]!.messages
      .map((message) => (message.type === 'parley.ordered' ? (message.event as Message) : message))
      .filter(({ type }) => !type.startsWith('parley.'));
  const session = await runFeatures(
    new ParleyTransport(OPTIONS),
    {
      emit: (...events) => {
        for (const event of events) backends[0]!.send(event);
      },
      sent,
      interrupted: () => sent().some(({ type }) => type === 'output_audio_buffer.clear'),
      settle: arrive,
    },
    async () => {
      await arrive();
      backends[0]!.ready();
      await arrive();
    },
  );
  session.close();
});
