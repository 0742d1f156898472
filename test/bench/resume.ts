import { REDIAL_STEPS_MS } from '../../browser/redial.ts';
import { readArguments } from '../support/arguments.ts';
import { cutInSentenceAndAnswer } from '../support/cut-upstreams.ts';
import { type BackendEnd, endBackendInSentence } from '../support/end-backend.ts';
import { openLogged, RecordedCall } from '../support/recorded-call.ts';
import { print, table } from './table.ts';

/**
 * What it costs a caller in the real page, in Chromium, when a backend or an upstream ends in mid-sentence, or the network is gone
 * for a while: forwarder, one to three backends and the local realtime service on this machine, a round trip of 20 ms between browser and
 * forwarder. Every run checks that no sample was lost or doubled.
 */

const USAGE = `usage: npm run bench:resume -- [--runs 20] [--cuts 20] [--outages 5] [--gone 40]... [--only death|drain|upstream|outage]

  --runs 20   calls whose backend is ended by SIGKILL, and as many by SIGTERM
  --cuts 20   times that the upstream of one call ends: half of them in mid-sentence, half in mid-answer
  --outages 5 times that the network is gone, in mid-sentence; it fails when audio takes longer than three round trips and one step
  --gone 40   for how many seconds; may be said more than once. Default 5, 15, 40
  --only …    one of the four`;
const RELAY = { delayMs: 10 };
/** Sentences are said this far apart in the call whose upstream is cut, in ms: 20 cuts make five minutes. */
const ROUND_MS = 30_000;

async function endBackends(signal: 'SIGKILL' | 'SIGTERM', runs: number): Promise<BackendEnd[]> {
  const { scene, log } = await openLogged({ backends: 3, answerSpeed: 4, relay: RELAY, drainSeconds: 60 });
  const ends: BackendEnd[] = [];
  try {
    for (let run = 0; run < runs; run++) {
      log.clear();
      const call = await RecordedCall.begin(scene, log);
      ends.push(await endBackendInSentence(call, signal));
      await call.endWhole();
      await call.page.close();
      const dead = scene.cluster.backends.filter(({ pid }) => pid === undefined);
      await Promise.all(dead.map((backend) => backend.start()));
      const { noticedMs, resumedMs, audioMs, longestGapMs } = ends.at(-1)!;
      const figures = [noticedMs, resumedMs, audioMs, longestGapMs].map((ms) =>
        ms === undefined ? '-' : Math.round(ms),
      );
      process.stderr.write(`${signal} ${run + 1}/${runs}: ${figures.join(' ')}\n`);
    }
  } finally {
    await scene.close();
  }
  return ends;
}

async function cutUpstreams(cuts: number): Promise<number[]> {
  const { scene, log } = await openLogged({ backends: 1, answerSpeed: 2, relay: RELAY });
  const tookMs: number[] = [];
  try {
    const call = await RecordedCall.begin(scene, log);
    while (tookMs.length < cuts) {
      const until = performance.now() + ROUND_MS;
      tookMs.push(...(await cutInSentenceAndAnswer(call, tookMs.length % 4 === 0 ? 'cut' : 'expired')));
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, until - performance.now())));
      process.stderr.write(
        `upstream ended ${tookMs.length}/${cuts}: ${tookMs.slice(-2).map(Math.round).join(' ')}\n`,
      );
    }
    await call.endWhole();
    if (log.sessions.length !== cuts + 1)
      throw new Error(`${cuts} upstreams ended, and there were ${log.sessions.length}`);
  } finally {
    await scene.close();
  }
  return tookMs;
}

/** Three round trips, and the longest step of dialling again, in ms. */
const RETURN_MS = 3 * 2 * RELAY.delayMs + Math.max(...REDIAL_STEPS_MS);
/** How far into a sentence it goes, in ms. */
const INTO_SENTENCE_MS = 1500;

/** Times from the network's return until the upstream, the same as before, has the next of the caller's audio, in ms. */
async function loseNetwork(ms: number, times: number): Promise<number[]> {
  const { scene, log } = await openLogged({ backends: 1, answerSpeed: 4, relay: RELAY });
  const tookMs: number[] = [];
  try {
    while (tookMs.length < times) {
      log.clear();
      // A page of its own each time: Chromium holds sessions of a page back whose dials failed in the last five minutes.
      const call = await RecordedCall.begin(scene, log);
      await call.say();
      await new Promise((resolve) => setTimeout(resolve, INTO_SENTENCE_MS));
      scene.relay.setLoss(1);
      await new Promise((resolve) => setTimeout(resolve, ms));
      const upstream = log.last!;
      const before = upstream.appends.length;
      const returnedAt = performance.now();
      scene.relay.setLoss(0);
      await call.answered();
      await call.endWhole();
      await call.page.close();
      if (log.sessions.length !== 1) throw new Error(`there were ${log.sessions.length} upstreams`);
      tookMs.push(upstream.appends[before]!.at - returnedAt);
      process.stderr.write(
        `${ms} ms without network, ${tookMs.length}/${times}: ${Math.round(tookMs.at(-1)!)}\n`,
      );
    }
  } finally {
    await scene.close();
  }
  return tookMs;
}

function row(what: string, values: readonly (number | undefined)[]): string[] {
  const sorted = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  const at = (share: number) => {
    const value = sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)];
    return value === undefined ? '-' : `${Math.round(value)} ms`;
  };
  return [what, String(sorted.length), at(0.5), at(0.95), at(1)];
}

function showEnds(title: string, ends: readonly BackendEnd[]): void {
  const rows = [
    row(
      'the page knows',
      ends.map(({ noticedMs }) => noticedMs),
    ),
    row(
      'another backend carries the call',
      ends.map(({ resumedMs }) => resumedMs),
    ),
    row(
      'audio at a fresh upstream',
      ends.map(({ audioMs }) => audioMs),
    ),
    row(
      'longest time without audio at any',
      ends.map(({ longestGapMs }) => longestGapMs),
    ),
  ];
  print(`${title}\n${table(['from then until', 'runs', 'p50', 'p95', 'max'], rows)}\n`);
}

const values = readArguments(
  USAGE,
  {
    runs: { type: 'string', default: '20' },
    cuts: { type: 'string', default: '20' },
    outages: { type: 'string', default: '5' },
    gone: { type: 'string', multiple: true, default: ['5', '15', '40'] },
    only: { type: 'string' },
  },
  { least: { runs: 0, cuts: 0, outages: 0, gone: 0 } },
);
const wanted = (name: string) => values.only === undefined || values.only === name;
if (wanted('death'))
  showEnds('A backend killed in mid-sentence (SIGKILL)', await endBackends('SIGKILL', Number(values.runs)));
if (wanted('drain'))
  showEnds(
    'A backend asked to end in mid-sentence (SIGTERM)',
    await endBackends('SIGTERM', Number(values.runs)),
  );
if (wanted('upstream')) {
  const took = row('audio at the next one', await cutUpstreams(Number(values.cuts)));
  print(
    `An upstream ended in mid-sentence and in mid-answer, in one call\n${table(['from then until', 'times', 'p50', 'p95', 'max'], [took])}\n`,
  );
}
if (wanted('outage')) {
  const rows: string[][] = [];
  for (const seconds of values.gone) {
    const took = await loseNetwork(Number(seconds) * 1000, Number(values.outages));
    rows.push(row(`${seconds} s`, took));
    if (Math.max(...took) > RETURN_MS) process.exitCode = 1;
  }
  print(
    `From the network's return until audio flows again, the same upstream, no sample lost; at most ${RETURN_MS} ms\n${table(['gone for', 'times', 'p50', 'p95', 'max'], rows)}\n`,
  );
}
