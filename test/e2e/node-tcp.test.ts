import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { BROWSER_LIBRARY, NodeCall } from '../support/node-call.ts';
import { until } from '../support/realtime.ts';
import { createRelay, type Relay } from '../support/relay.ts';
import { speakToWav } from '../support/speech.ts';

vi.mock('@fails-components/webtransport', () => import(/* @vite-ignore */ BROWSER_LIBRARY));

const TEXT = 'How far is it to the moon, when one goes there on foot?';
/** Before and behind what is said, in seconds: the service hears where it ends. */
const [LEAD_SECONDS, TAIL_SECONDS] = [0.2, 2];
const PATIENT = 60_000;

let cluster: TestCluster | undefined;
let relay: Relay | undefined;
let call: NodeCall | undefined;
afterEach(async () => {
  call?.hangUp();
  await relay?.close();
  await cluster?.close();
});

test.each([
  ['stands', false],
  ['breaks in mid-sentence', true],
])(
  'the page’s own code calls over wss from Node, the connection %s: every sample both ways',
  async (_, breaks) => {
    cluster = await startCluster({ backends: 1 });
    relay = await createRelay({ tcp: true, target: { port: cluster.forwarderPort } });
    const { certificatePath, directory, realtime } = cluster;
    const pcm = join(directory, 'microphone.raw');
    execFileSync('sox', [speakToWav(directory, TEXT, LEAD_SECONDS, TAIL_SECONDS), '-r', '24000', pcm]);
    call = await NodeCall.dial(`https://127.0.0.1:${relay.port}/voice`, certificatePath);
    expect([call.failure, call.sessions]).toEqual([undefined, ['new']]);
    const said = call.say(readFileSync(pcm));
    if (breaks) {
      await until(() => call!.receivedSamples > 24_000, 'a second of it', PATIENT);
      relay.cutTcp();
    }
    await said;
    await until(() => call!.whole.size > 0, 'the answer', PATIENT);
    const { microphone, received, sessions } = call;
    call.hangUp();
    const account = () => realtime.audit().find(({ open }) => !open);
    await until(() => account() !== undefined, 'the account of the upstream', PATIENT);
    const { microphoneSamples, microphoneHash, answers } = account()!;
    expect({ samples: microphoneSamples, hash: microphoneHash }).toEqual({
      samples: microphone.octets / 2,
      hash: microphone.digest(),
    });
    expect([...received].map(([itemId, hash]) => [itemId, hash.octets / 2, hash.digest()])).toEqual(
      answers.map(({ itemId, samples, hash }) => [itemId, samples, hash]),
    );
    expect(answers.length).toBeGreaterThan(0);
    expect(sessions).toEqual(breaks ? ['new', 'attached'] : ['new']);
  },
  120_000,
);
