import type { RecordedCall } from './recorded-call.ts';

/** How far into the sentence the backend is ended, in ms. */
const INTO_SENTENCE_MS = 1500;

/** What ending a backend cost its call. */
export interface BackendEnd {
  /** Until the page said that the connection is gone, in ms; undefined when it never did. */
  readonly noticedMs: number | undefined;
  /** Until another backend carried the call, in ms. */
  readonly resumedMs: number;
  /** Until the fresh upstream was given the first of the caller's words, in ms. */
  readonly audioMs: number;
  /** Longest time, from just before the end on, in which no upstream was given any of the microphone's audio, in ms. */
  readonly longestGapMs: number;
}

/**
 * A sentence that is answered, then a second one, in the middle of which the call's backend is ended with `signal`; another
 * carries the call from there. Fulfils when the second answer was heard.
 */
export async function endBackendInSentence(
  call: RecordedCall,
  signal: 'SIGKILL' | 'SIGTERM',
): Promise<BackendEnd> {
  const { scene, log } = call;
  await call.say();
  const { stats } = await call.answered();
  const marks = await call.markStates();
  await call.say();
  await new Promise((resolve) => setTimeout(resolve, INTO_SENTENCE_MS));
  const victim = scene.cluster.backends.find((_, i) => stats?.backend === `backend-${i + 1}`)!;
  const first = log.last!;
  const freshHeard = log.when((session) => session !== first && session.appends.length > 0);
  const at = performance.now();
  const wallAt = Date.now();
  void victim.kill(signal);
  const fresh = await freshHeard;
  await call.until('another backend carries the call', (report) => report.stats!.resumptions > 0);
  await call.answered();
  const { reconnecting, resumed } = await marks();
  const all = log.sessions.flatMap(({ appends }) => appends.map((append) => append.at)).sort((a, b) => a - b);
  const times = all.slice(
    Math.max(
      0,
      all.findLastIndex((time) => time < at),
    ),
  );
  return {
    noticedMs: reconnecting === undefined ? undefined : reconnecting - wallAt,
    resumedMs: resumed! - wallAt,
    audioMs: fresh.appends[0]!.at - at,
    longestGapMs: Math.max(...times.slice(1).map((time, i) => time - times[i]!)),
  };
}
