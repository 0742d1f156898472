import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { callOfWords } from '../bench/sides/calls.ts';
import { CARRIERS, type Carrier, SideStage } from '../bench/sides/stage.ts';

/** One sentence. */
const SPEECH_MS = 7000;

/**
 * Least share of windows that WebRTC's jitter buffer leaves recognisable. It conceals what comes late, so a machine that
 * runs other tests beside this one costs it windows where the network loses nothing.
 */
const WEBRTC_FOUND = 0.75;

let stage: SideStage;
beforeAll(async () => {
  stage = await SideStage.open({ codec: 'pcm' });
});
afterAll(async () => {
  await stage?.close();
});

const spoken = (samples: Int16Array) => samples.subarray(samples.findIndex((sample) => sample !== 0));
const say = (carrier: Carrier) =>
  callOfWords(stage, { carrier, conditions: { delayMs: 20 }, speechMs: SPEECH_MS, graceMs: 10_000 });

describe('how words are compared, side by side, where nothing is lost', () => {
  it.each(CARRIERS)('%s: what was said is found at the upstream, later than it was said', async (carrier) => {
    const { record, windows, webrtc } = await say(carrier);
    const found = windows.filter(({ heardAt }) => heardAt !== undefined);
    expect(windows.length).toBeGreaterThan(200);
    expect(found.length / windows.length).toBeGreaterThan(carrier === 'webrtc' ? WEBRTC_FOUND : 0.999);
    const delays = found.map(({ saidAt, heardAt }) => heardAt! - saidAt).sort((a, b) => a - b);
    expect(delays[delays.length >> 1]).toBeGreaterThan(15);
    expect(delays[delays.length >> 1]).toBeLessThan(500);
    if (carrier === 'webrtc') expect(webrtc!.concealed / webrtc!.total).toBeLessThan(1 - WEBRTC_FOUND);
    else if (carrier === 'parley') expect(record.heard.subarray(0, record.said.length)).toEqual(record.said);
    else {
      // What the relay's page records before its socket is open is silence, and is not sent.
      const [heard, said] = [spoken(record.heard), spoken(record.said)];
      expect(heard.subarray(0, said.length)).toEqual(said);
    }
  });
});
