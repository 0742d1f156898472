import { afterAll, beforeAll, describe, expect } from 'vitest';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { createRelay, type Relay } from '../support/relay.ts';
import { answers, gtlsclient } from './support/gtlsclient.ts';
import { type Client, cell } from './support/matrix.ts';
import { BUILD_MS, buildQuicGo, type QuicGoAnswers } from './support/quic-go.ts';
import { unchanged } from './support/w3c-cells.ts';
import { type Echoed, startChromium, startDeno, startFirefox, type W3cClient } from './support/w3c-client.ts';

const ATTEMPTS = 12;
/** Attempts that have to complete. */
const COMPLETE = 10;
/** One way between the NAT and the forwarder, in ms: a handshake is confirmed after four of these. */
const DELAY_MS = 20;
/** What an attempt may take in all, in ms: two probe timeouts of the slowest client and the rest of the handshake. */
const ATTEMPT_MS = 10_000;

let cluster: TestCluster;
let far: Relay;
/** Next to the client: what is on its way to an address that it forgot is lost. */
let nat: Relay;
/** The NAT forgets its mappings so long after the next datagram of a client, in ms. */
let rebindAfterMs: number | undefined;
beforeAll(async () => {
  cluster = await startCluster({ backends: 2 });
  far = await createRelay({ target: { port: cluster.forwarderPort }, delayMs: DELAY_MS });
  nat = await createRelay({
    target: { port: far.port },
    tap: (direction) => {
      if (direction === 'toClient' || rebindAfterMs === undefined) return;
      setTimeout(() => void nat.rebind(), rebindAfterMs);
      rebindAfterMs = undefined;
    },
  });
});
afterAll(async () => {
  await nat?.close();
  await far?.close();
  await cluster?.close();
});

/** Runs attempts with a rebinding at evenly spread instants, from the first datagram to the handshake's confirmation. */
async function attempts(connect: () => Promise<void>): Promise<void> {
  const outcomes: string[] = [];
  for (let i = 0; i < ATTEMPTS; i++) {
    const afterMs = ((i + 0.5) * 4 * DELAY_MS) / ATTEMPTS;
    const rebinds = nat.stats.rebinds;
    rebindAfterMs = afterMs;
    const begun = performance.now();
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not within ${ATTEMPT_MS} ms`)), ATTEMPT_MS);
    });
    const connecting = connect();
    const failure = await Promise.race([connecting, timeout]).then(
      () => undefined,
      (error: Error) => error.message.split('\n')[0],
    );
    clearTimeout(timer);
    connecting.catch(() => {});
    expect(nat.stats.rebinds).toBe(rebinds + 1);
    outcomes.push(
      `rebinding after ${afterMs.toFixed()} ms: ${failure ?? `complete after ${(performance.now() - begun).toFixed()} ms`}`,
    );
  }
  if (process.env.INTEROP_VERBOSE) process.stdout.write(`${outcomes.join('\n')}\n`);
  const complete = outcomes.filter((outcome) => outcome.includes(': complete')).length;
  expect(complete, outcomes.join('\n')).toBeGreaterThanOrEqual(COMPLETE);
}

const shows = `at least ${COMPLETE} of ${ATTEMPTS} attempts complete, the address changed at instants from the first datagram on`;
const within = (client: Client, run: () => Promise<void>) =>
  cell(client, 'NAT rebinding within the handshake', shows, run, BUILD_MS);

describe("the client's address changes within the handshake", () => {
  for (const [name, start] of [
    ['Chromium', startChromium],
    ['Firefox', startFirefox],
    ['Deno', startDeno],
  ] as const) {
    within(name, async () => {
      const client: W3cClient = await start();
      const untilEnd = name !== 'Deno';
      const target = { url: `https://127.0.0.1:${nat.port}/echo`, hash: cluster.certificateHash };
      try {
        await attempts(async () => {
          const id = await client.call<number>('open', target);
          const seen = await client.call<Echoed>('echoBidirectional', { id, octets: 1000, untilEnd });
          unchanged(seen, 1000, untilEnd);
          await client.call('close', { id, closeCode: 0, reason: '' });
        });
      } finally {
        await client.close();
      }
    });
  }

  within('ngtcp2', () =>
    attempts(async () => {
      const output = await gtlsclient(nat.port, ['--exit-on-all-streams-close', '--timeout=9s']);
      expect(answers(output)).toBe(1);
    }),
  );

  within('quic-go', async () => {
    const quicGo = await buildQuicGo();
    try {
      await attempts(async () => {
        const client = quicGo.start(nat.port, cluster.certificatePath);
        try {
          expect((await client.call<QuicGoAnswers>('get', {})).statuses).toEqual({ 200: 1 });
        } finally {
          await client.close();
        }
      });
    } finally {
      quicGo.remove();
    }
  });
});
