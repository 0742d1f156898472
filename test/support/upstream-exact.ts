import assert from 'node:assert/strict';
import type { PageReport } from './scene.ts';
import { audioOf, type LoggedSession, type UpstreamLog } from './upstream-log.ts';

/** Amplitude from which on a sample is speech beyond doubt. */
const LOUD = 2000;
/** Speech enough to be found by, in octets. */
const NEEDLE_OCTETS = 2000;

/**
 * The upstreams of a call, one after the other, were given all of what was `spoken` (PCM16): each a run of it without a gap or a
 * sample twice, each beginning no later than the one before it ended, the last to the very end. Throws when it is not so.
 */
export function assertAllSpokenArrived(log: UpstreamLog, spoken: Buffer): void {
  let covered = 0;
  for (const session of log.sessions) {
    const audio = audioOf(session);
    const at = findRun(spoken, audio, covered);
    const what = `${session.id} was given ${audio.length / 2} samples`;
    assert(at >= 0, `${what}, which are no run of what was spoken`);
    assert(at <= covered, `${what} from sample ${at / 2} on, but all before it had ${covered / 2}`);
    covered = Math.max(covered, at + audio.length);
  }
  assert.equal(covered / 2, spoken.length / 2, 'the last samples did not arrive');
}

/** Answers of completed responses, of all upstreams, in order. */
function completedAnswers(log: UpstreamLog): { session: LoggedSession; itemId: string; pcm: Buffer }[] {
  return log.sessions.flatMap((session) =>
    [...session.answers.values()]
      .filter(({ completed }) => completed)
      .map(({ itemId, pcm }) => ({ session, itemId, pcm: Buffer.concat(pcm) })),
  );
}

/**
 * The local service answers with the caller's own words: every loud sample that was spoken came back in exactly one completed
 * answer, so each sentence was heard whole, once, by one upstream. Each of these answers was received, and played to its end.
 * Throws when it is not so.
 */
export function assertEachSentenceAnswered(
  log: UpstreamLog,
  spoken: Buffer,
  { answers }: PageReport,
  sentences: number,
): void {
  const completed = completedAnswers(log);
  assert.equal(completed.length, sentences, 'completed answers');
  let end = 0;
  for (const { itemId, pcm } of completed) {
    const at = findRun(spoken, pcm, end);
    assert(at >= end, `answer ${itemId} is no run of what was spoken behind the answer before it`);
    assert(loudest(spoken.subarray(end, at)) < LOUD, `words before answer ${itemId} are in no answer`);
    end = at + pcm.length;
    const heard = answers.filter((answer) => answer.itemId === itemId);
    assert.equal(heard.length, 1, `times that the page was given answer ${itemId}`);
    const { receivedSamples, playedSamples, receivedHash, playedHash, complete, cleared } = heard[0]!;
    const samples = pcm.length / 2;
    assert.deepEqual(
      { receivedSamples, playedSamples, playedHash, complete, cleared },
      {
        receivedSamples: samples,
        playedSamples: samples,
        playedHash: receivedHash,
        complete: true,
        cleared: false,
      },
    );
  }
  assert(loudest(spoken.subarray(end)) < LOUD, 'speech behind the last answered turn is in no answer');
}

/** Where a run of samples is in what was spoken, found by its first loud samples; a silent one at `hint` or before. -1: nowhere. */
function findRun(spoken: Buffer, run: Buffer, hint: number): number {
  const loud = firstLoud(run);
  const holds = (at: number) => at >= 0 && spoken.subarray(at, at + run.length).equals(run);
  if (loud < 0) {
    // Silence is the same everywhere: the last place that it may have been said at.
    const at = Math.min(hint, spoken.length - run.length);
    return holds(at) ? at : -1;
  }
  const needle = run.subarray(loud, loud + NEEDLE_OCTETS);
  for (let at = spoken.indexOf(needle); at >= 0; at = spoken.indexOf(needle, at + 1))
    if (holds(at - loud)) return at - loud;
  return -1;
}

function firstLoud(pcm: Buffer): number {
  for (let at = 0; at + 1 < pcm.length; at += 2) if (Math.abs(pcm.readInt16LE(at)) >= LOUD) return at;
  return -1;
}

function loudest(pcm: Buffer): number {
  let found = 0;
  for (let at = 0; at + 1 < pcm.length; at += 2) found = Math.max(found, Math.abs(pcm.readInt16LE(at)));
  return found;
}
