import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launchChromium, openPage, type ServedPage, serveDemoPage } from '../support/chromium.ts';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { NodeClient } from '../support/node-client.ts';
import { createRelay, type Relay } from '../support/relay.ts';
import { speakToWav } from '../support/speech.ts';

const ROUND_TRIP_MS = 100;
/** A busy machine needs more of them; a quiet one is done after the first that is good enough. */
const MAX_ATTEMPTS = 25;

let cluster: TestCluster;
let relay: Relay;
let served: ServedPage;
beforeAll(async () => {
  cluster = await startCluster({ backends: 2 });
  relay = await createRelay({ target: { port: cluster.forwarderPort }, delayMs: ROUND_TRIP_MS / 2 });
  served = await serveDemoPage(relay.port, cluster.certificateHash);
});
afterAll(async () => {
  served?.close();
  await relay?.close();
  await cluster?.close();
});

/** The least of several measurements, in round trips: what the protocol needs, without what the machine was busy with. */
async function leastRoundTrips(enough: number, measure: () => Promise<number>): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < MAX_ATTEMPTS && least > enough; i++)
    least = Math.min(least, (await measure()) / ROUND_TRIP_MS);
  return least;
}

describe('setting up, counted in round trips through a relay of 100 ms', () => {
  it('QUIC handshake of our own client: within 1.1', async () => {
    const roundTrips = await leastRoundTrips(1.1, async () => {
      const client = await NodeClient.dial(relay.port, cluster.certificateHash);
      const { handshakeMs } = await client.quicEvent('connected');
      await client.close();
      return handshakeMs;
    });
    expect(roundTrips).toBeGreaterThanOrEqual(1);
    expect(roundTrips).toBeLessThanOrEqual(1.1);
  });

  it('WebTransport ready in Chromium: within 2.2', async () => {
    const browser = await launchChromium(speakToWav(cluster.directory, 'hello'));
    try {
      const { page } = await openPage(browser, served.url);
      const octets = JSON.stringify([...Buffer.from(cluster.certificateHash, 'hex')]);
      const roundTrips = await leastRoundTrips(2.2, async () => {
        const readyMs = await page.evaluate(`(async () => {
          const began = performance.now();
          const session = new WebTransport('https://127.0.0.1:${relay.port}/echo', {
            serverCertificateHashes: [{ algorithm: 'sha-256', value: Uint8Array.from(${octets}) }],
          });
          await session.ready;
          const took = performance.now() - began;
          session.close();
          return took;
        })()`);
        return readyMs as number;
      });
      expect(roundTrips).toBeGreaterThanOrEqual(1.9);
      expect(roundTrips).toBeLessThanOrEqual(2.2);
    } finally {
      await browser.close();
    }
  });
});
