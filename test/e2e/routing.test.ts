import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { metric } from '../support/metrics.ts';
import { expectSampleExact } from '../support/sample-exact.ts';
import { Scene } from '../support/scene.ts';

/** Ten callers on the same one of two backends would be a chance of 1 in 512. */
const MAX_CALLERS = 10;
/** A client's packets before it learns the backend's CID: two Initials, and again when a busy machine answers late. */
const HANDSHAKE_PACKETS = 12;
const ROUTED = 'parley_forwarder_routed_packets_total';
const UNROUTABLE = 'parley_forwarder_unroutable_packets_total';

let scene: Scene;
beforeAll(async () => {
  scene = await Scene.open({ text: 'The connection identifier knows where I belong.', backends: 2 });
});
afterAll(() => scene?.close());

describe('browsers on several backends behind one forwarder', () => {
  it('land by the fallback hash, and every packet after the handshake is routed by its CID', async () => {
    const callers = new Map<string, Page>();
    let dialled = 0;
    for (; dialled < MAX_CALLERS && callers.size < 2; dialled++) {
      const page = await scene.call();
      const { stats } = await scene.report(page);
      if (callers.has(stats!.backend)) await page.close();
      else callers.set(stats!.backend, page);
    }
    expect([...callers.keys()].sort()).toEqual(['backend-1', 'backend-2']);

    const afterHandshakes = await scene.cluster.forwarderMetrics();
    expect(metric(afterHandshakes, UNROUTABLE)).toBeGreaterThan(0);
    for (const [backend, page] of callers) {
      const { serverId } = (await scene.report(page)).stats!;
      expect(serverId).toBe(scene.cluster.cluster.backends.find(({ name }) => name === backend)?.serverId);
    }

    const results = await Promise.all([...callers.values()].map((page) => scene.finish(page)));
    for (const result of results) expectSampleExact(result);

    const afterCalls = await scene.cluster.forwarderMetrics();
    expect(metric(afterCalls, UNROUTABLE)).toBe(metric(afterHandshakes, UNROUTABLE));
    // Over the whole calls, since an early caller may have said it all while later ones were still dialling.
    for (const backend of callers.keys()) {
      expect(metric(afterCalls, ROUTED, { backend })).toBeGreaterThan(HANDSHAKE_PACKETS * 10);
    }
    expect(metric(afterCalls, UNROUTABLE)).toBeLessThanOrEqual(dialled * HANDSHAKE_PACKETS);
  });
});
