import { pino } from 'pino';
import type { Resume } from '../../proto/voice/index.ts';
import type { FakeUpstream } from './voice-page.ts';

const logger = pino({ level: 'silent' });

/** What `serveVoice` must be given, for a backend in a test whose calls have this upstream. */
export const voiceContext = (upstream: FakeUpstream) =>
  ({
    backend: 'backend-1',
    serverId: '0001',
    upstreamKind: 'local',
    openUpstream: () => upstream,
    logger,
  }) as const;

/** What the hello of a page says that comes back for the first time, with nothing sent or heard yet. */
export const firstResume = (ticket: string, checkpoint: string): Resume => ({
  ticket,
  attachment: 1,
  messages: 0,
  answers: [],
  nextAnswer: 0,
  checkpoint,
  microphoneSamples: 0,
  events: 0,
});
