import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Registry } from 'prom-client';
import { expect, test, vi } from 'vitest';
import { type Call, serveVoice } from '../../../server/bridge/index.ts';
import { CallTable, Sealer } from '../../../server/call/index.ts';
import { CallList, CallTimings } from '../../../server/calls/index.ts';
import { memorySessionPair } from '../../support/memory-session.ts';
import { voiceContext } from '../../support/voice-context.ts';
import { FakeUpstream, HELLO, VoicePage } from '../../support/voice-page.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Begins a call, and loses its session; what is left of that session is what others keep. */
async function abandon(calls: CallTable<Call>, list: CallList): Promise<WeakRef<object>> {
  const { client, server } = memorySessionPair();
  const upstream = new FakeUpstream().open();
  const context = voiceContext(upstream);
  const { observer } = list.begin(server, 'id', undefined, {});
  const resume = { calls, sealer: new Sealer(new Uint8Array(32).fill(1)) };
  const served = serveVoice(server, { ...context, observer, resume });
  const page = new VoicePage(client);
  await page.start(HELLO);
  await vi.waitFor(() => expect(page.find('parley.ready')).toBeDefined());
  expect(list.summaries()).toHaveLength(1);
  client.lose();
  await served;
  return new WeakRef(server);
}

test('a call that waits for its page keeps nothing of the session that it lost', async () => {
  const calls = new CallTable<Call>({ resumeSeconds: 3600, maxWaiting: 10 });
  const list = new CallList('backend-1', new CallTimings(new Registry()));
  const session = await abandon(calls, list);
  await vi.waitFor(
    () => {
      collect();
      // As a boolean: what an assertion is given, it keeps.
      expect(session.deref() === undefined).toBe(true);
    },
    { timeout: 20_000, interval: 50 },
  );
  expect(calls.waiting).toBe(1);
  expect(list.summaries()).toEqual([]);
  calls.close();
}, 60_000);
