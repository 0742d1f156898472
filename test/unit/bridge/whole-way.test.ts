import { pino } from 'pino';
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { AudioHash, int16ToOctets, SessionCloseCode } from '../../../proto/voice/index.ts';
import { concat } from '../../../proto/wire/index.ts';
import { serveVoice } from '../../../server/bridge/index.ts';
import { openUpstream } from '../../../server/realtime/index.ts';
import { type RealtimeService, startRealtimeService } from '../../../server/realtime/local/index.ts';
import { memorySessionPair } from '../../support/memory-session.ts';
import { joinSamples, testCertificate, tone, until } from '../../support/realtime.ts';
import { VoicePage } from '../../support/voice-page.ts';

const API_KEY = 'sk-very-secret-0123456789';
let pem: ReturnType<typeof testCertificate>;
let service: RealtimeService;
let log: string[];
let end: () => Promise<void>;

beforeAll(() => {
  pem = testCertificate();
});
beforeEach(() => {
  log = [];
});
afterEach(async () => {
  await end();
  await service.close();
  expect(service.sessions).toBe(0);
  expect(log.join('')).not.toContain(API_KEY);
});

async function call(speed: number, key = API_KEY) {
  const logger = pino({ level: 'trace' }, { write: (line: string) => void log.push(line) });
  service = await startRealtimeService({ ...pem, logger, speed, bearerToken: API_KEY });
  const { client, server } = memorySessionPair();
  const page = new VoicePage(client);
  const served = serveVoice(server, {
    backend: 'backend-1',
    serverId: '0001',
    upstreamKind: 'local',
    openUpstream: () =>
      openUpstream({
        kind: 'local',
        model: 'parrot',
        apiKey: key,
        baseURL: service.url,
        ca: pem.certificate,
      }),
    logger,
  });
  end = async () => {
    client.close();
    await served;
    await until(() => service.sessions === 0, 'the upstream is closed');
  };
  return { page: await page.start(), served };
}

const UTTERANCE = joinSamples(tone(300, 0), tone(1500), tone(600, 0));
const chunksOf = (octets: Uint8Array, size: number) =>
  Array.from({ length: Math.ceil(octets.length / size) }, (_, i) =>
    octets.subarray(i * size, (i + 1) * size),
  );

test('the caller’s words go to the service and come back, sample for sample', async () => {
  const { page } = await call(100);
  const octets = int16ToOctets(UTTERANCE);
  await page.speak(0, 0, chunksOf(octets, 1111));
  await until(() => page.find('response.done') !== undefined, 'response.done');
  await until(() => page.answers[0]?.ended === true, 'the answer');
  const [audit] = service.audit();
  expect(audit?.microphoneSamples).toBe(UTTERANCE.length);
  expect(audit?.microphoneHash).toBe(new AudioHash().update(octets).digest());
  const heard = concat(page.answers[0]!.chunks);
  expect(audit?.answers[0]).toMatchObject({
    itemId: page.answers[0]?.header?.itemId,
    samples: heard.length / 2,
    hash: new AudioHash().update(heard).digest(),
  });
});

test('speaking over the answer cuts it at what was played, and the service agrees', async () => {
  const { page } = await call(2);
  const first = int16ToOctets(UTTERANCE);
  await page.speak(0, 0, chunksOf(first, 960));
  await until(() => (page.answers[0]?.chunks.length ?? 0) >= 5, 'half a second of the answer');
  const itemId = page.answers[0]!.header!.itemId;
  await page.speak(1, UTTERANCE.length, chunksOf(int16ToOctets(tone(200)), 960));
  await until(() => page.find('parley.playback.clear') !== undefined, 'the clear');
  expect(page.find('parley.playback.clear')?.responseIds).toEqual([page.answers[0]!.header!.responseId]);
  await page.position(itemId, 7201, true);
  await until(() => page.find('conversation.item.truncated') !== undefined, 'the truncation');
  expect(page.find('conversation.item.truncated')).toMatchObject({ item_id: itemId, audio_end_ms: 300 });
  expect(page.find('error')).toBeUndefined();
  expect(page.find('response.done')?.response).toMatchObject({ status: 'cancelled' });
});

test('a wrong key ends the call in words that do not hold it', async () => {
  const wrong = 'sk-also-secret-9876543210';
  const { page, served } = await call(1, wrong);
  await served;
  await until(() => page.closeInfo !== undefined, 'the close');
  expect(page.closeInfo?.closeCode).toBe(SessionCloseCode.UPSTREAM_REFUSED);
  expect(page.closeInfo?.reason).toContain('401');
  expect(JSON.stringify(page.messages) + log.join('')).not.toContain(wrong);
});
