import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openPage, type ServedPage, serveDemoPage } from '../support/chromium.ts';
import { Scene } from '../support/scene.ts';

let scene: Scene;
beforeAll(async () => {
  scene = await Scene.open({ text: 'What time is it, and what is the weather like?', backends: 1 });
});
afterAll(() => scene?.close());

const logged = (page: Page, text: string) => page.locator('#log', { hasText: text }).waitFor();

describe('the library in a page of one’s own', () => {
  it('the example calls, gives the model a function, answers its call and hears what is said then', async () => {
    const page = await scene.openPage('/example.html');
    await page.click('#call');
    await logged(page, 'response.function_call_arguments.done');
    await logged(page, 'response.output_audio_transcript.done');
    await page.click('#call');
    await logged(page, 'The call is over.');
    expect(scene.cluster.realtime.audit().at(-1)?.answers).toHaveLength(1);
    await page.close();
  });

  it('push-to-talk: what is committed right after a mute is every sample that left the microphone, and no other', async () => {
    const page = await scene.openPage('/example.html');
    const result = await page.evaluate(`(async () => {
      const { connect } = await import('./parley.js');
      const call = connect(await (await fetch('/config.json')).json());
      const event = (type) => new Promise((resolve) => call.on('event', (e) => e.type === type && resolve(e)));
      await call.ready;
      const updated = event('session.updated');
      const audio = { input: { turn_detection: null } };
      call.send({ type: 'session.update', session: { type: 'realtime', audio } });
      await updated;
      await new Promise((resolve) => {
        call.on('microphoneLevel', () => call.stats.microphone.samples > 48_000 && resolve());
      });
      const done = event('response.done');
      call.mute();
      call.send({ type: 'input_audio_buffer.commit' });
      call.send({ type: 'response.create' });
      await done;
      while (!call.answers.at(-1)?.complete) await new Promise((resolve) => setTimeout(resolve, 20));
      const { samples, hash } = call.stats.microphone;
      const { receivedSamples, receivedHash } = call.answers.at(-1);
      await call.hangUp();
      return { said: { samples, hash }, heard: { samples: receivedSamples, hash: receivedHash } };
    })()`);
    const { said, heard } = result as { said: object; heard: object };
    expect(heard).toEqual(said);
    await page.close();
  });
});

describe('what the page says', () => {
  it('that it is muted, and by a label that says what a press does', async () => {
    const page = await scene.call();
    await page.click('#mute');
    expect(await page.textContent('#connection')).toBe('In call, muted');
    expect(await page.textContent('#status')).toMatch(/^Muted/);
    expect(await page.textContent('#mute')).toBe('Unmute');
    await page.click('#mute');
    expect(await page.textContent('#connection')).toBe('In call');
    await page.click('#talk');
    await scene.until(page, 'the call ended', ({ state }) => state === 'idle');
    await page.close();
  });

  it('after hanging up while muted the mute button is as in the beginning', async () => {
    const page = await scene.call();
    await page.click('#mute');
    await page.click('#talk');
    await scene.until(page, 'the call ended', ({ state }) => state === 'idle');
    expect(await page.getAttribute('#mute', 'data-muted')).toBe('false');
    expect(await page.textContent('#mute')).toBe('Mute');
    await page.close();
  });

  it('an AudioContext that the system suspends comes back, and the session can be named to the operator', async () => {
    const page = await scene.openPage();
    await page.addInitScript(`(() => {
      const Context = AudioContext;
      window.contexts = [];
      window.AudioContext = class extends Context { constructor(options) { super(options); contexts.push(this); } };
    })()`);
    await page.reload();
    await page.click('#talk');
    await scene.until(page, 'the microphone is live', ({ state }) => state === 'ready');
    const states = await page.evaluate(`(async () => {
      const told = [];
      parley.call.on('audio', (state) => told.push(state));
      parley.call.on('microphone', ({ state }) => told.push(state));
      await contexts[0].suspend();
      while (told.length < 4) await new Promise((resolve) => setTimeout(resolve, 20));
      return told;
    })()`);
    expect(states).toEqual(['muted-by-system', 'suspended', 'live', 'running']);
    // Shown with the figures, which are refreshed a few times a second.
    await expect.poll(() => page.textContent('#f-session')).toMatch(/^[\w-]{8,}$/);
    expect(await page.isVisible('#copy-session')).toBe(true);
    await page.close();
  });

  it('an error of the speech model and an outage, in words, each once; the outage is over when it is over', async () => {
    const page = await scene.call();
    const bad = page.locator('#timeline .entry-bad');
    await page.evaluate(`parley.call.send({ type: 'session.update', session: { type: 'no such type' } })`);
    await bad.filter({ hasText: 'The speech model reports an error:' }).waitFor();
    expect(await bad.count()).toBe(1);
    scene.relay.setLoss(1);
    await page.locator('#status', { hasText: /^The connection is gone\. Reconnecting/ }).waitFor();
    scene.relay.setLoss(0);
    await page
      .locator('#timeline', {
        hasText:
          /Back after .* The call goes on where it stopped, and nothing was lost\.|The (server|connection) answers again/,
      })
      .waitFor();
    await page.locator('#status', { hasNotText: /connection is gone/ }).waitFor();
    expect(
      await page.locator('#timeline', { hasText: 'The connection is gone. Your words are kept.' }).count(),
    ).toBe(1);
    await page.close();
  });

  it('days after it was opened it asks for its settings again before it calls, as certificates were renewed', async () => {
    const page = await scene.openPage();
    let asked = 0;
    page.on('request', (request) => {
      if (request.url().endsWith('/config.json')) asked += 1;
    });
    await page.evaluate(`(() => {
      const now = performance.now.bind(performance);
      performance.now = () => now() + 3 * 86_400_000;
    })()`);
    await page.click('#talk');
    await scene.until(page, 'the call is ready', ({ stats }) => stats?.backend !== undefined);
    expect(asked).toBe(1);
    await page.close();
  });
});

describe('what the page says when no call can be made', () => {
  const fault = async (page: Page) => {
    await page.waitForSelector('#fault:not([hidden])');
    return `${await page.textContent('#fault-message')} ${await page.textContent('#fault-advice')}`;
  };
  const opened = async (init: string) => {
    const page = await scene.openPage();
    await page.addInitScript(init);
    await page.reload();
    return page;
  };

  it('a browser with neither WebTransport nor WebSocket: which have it, before Talk is pressed', async () => {
    const page = await opened('delete globalThis.WebTransport; delete globalThis.WebSocket');
    expect(await fault(page)).toBe(
      'This browser has no WebTransport, which carries the call. Use Chrome or Edge 97, Firefox 125, Safari 26.4, or anything newer.',
    );
    expect(await page.isDisabled('#talk')).toBe(true);
    await page.close();
  });

  it('a microphone that may not be used: where it is allowed', async () => {
    const page = await opened(
      `navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', 'NotAllowedError'))`,
    );
    await page.click('#talk');
    expect(await fault(page)).toMatch(/may not use the microphone.*Allow the microphone/);
    await page.close();
  });

  it('a network that swallows UDP, or a certificate that is not the expected one: what to check', async () => {
    const silent = createSocket('udp4');
    silent.bind(0, '127.0.0.1');
    await once(silent, 'listening');
    const browser = (await scene.openPage()).context().browser() as Browser;
    const pages: ServedPage[] = [
      await serveDemoPage(silent.address().port, scene.cluster.certificateHash),
      await serveDemoPage(scene.cluster.forwarderPort, '00'.repeat(32)),
    ];
    try {
      const said = pages.map(async ({ url }) => {
        const { page } = await openPage(browser, url);
        // Over TCP the call would go on: its certificate is judged without the hash.
        await page.evaluate('delete globalThis.WebSocket');
        await page.click('#talk');
        return fault(page);
      });
      for (const sentence of await Promise.all(said)) {
        expect(sentence).toMatch(/voice server at 127\.0\.0\.1:\d+ .*network lets UDP through/);
      }
    } finally {
      for (const page of pages) page.close();
      silent.close();
    }
  });
});
