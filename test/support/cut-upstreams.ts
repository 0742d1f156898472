import type { RecordedCall } from './recorded-call.ts';
import type { LoggedSession } from './upstream-log.ts';

/** How far into a sentence the upstream is cut off, in ms after it heard that speech began. */
const INTO_SENTENCE_MS = 800;
/** How many pieces of an answer, of 100 ms, come before the upstream is cut off. */
const INTO_ANSWER = 8;

/**
 * A sentence whose upstream ends in its middle, and whose next upstream ends in the middle of the answer; then the answer is heard.
 * Upstreams end without a close frame, or with the word of the time limit. Gives how long it took, from each end, until the
 * next upstream was given audio, in ms.
 */
export async function cutInSentenceAndAnswer(call: RecordedCall, how: 'cut' | 'expired'): Promise<number[]> {
  const { log } = call;
  const first = log.last!;
  const from = first.sent.length;
  const speaks = log.when(
    (session) => session === first && session.sent.includes('input_audio_buffer.speech_started', from),
  );
  await call.say();
  await speaks;
  await new Promise((resolve) => setTimeout(resolve, INTO_SENTENCE_MS));
  const second = await endAndAwaitNext(call, first, how);
  await log.when(
    (session) =>
      session === log.last &&
      [...session.answers.values()].some((answer) => !answer.completed && answer.pcm.length >= INTO_ANSWER),
  );
  const third = await endAndAwaitNext(call, log.last!, how === 'cut' ? 'expired' : 'cut');
  await call.answered(30_000);
  return [second, third];
}

async function endAndAwaitNext(
  { log, scene }: RecordedCall,
  session: LoggedSession,
  how: 'cut' | 'expired',
): Promise<number> {
  const at = performance.now();
  const next = log.when((other) => other !== session && other === log.last && other.appends.length > 0);
  scene.cluster.realtime.end(session.id, how);
  const { appends } = await next;
  return appends[0]!.at - at;
}
