import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Window } from '../../support/aligned-words.ts';
import { readArguments } from '../../support/arguments.ts';
import { circumstances, withSpread } from '../figures.ts';
import { drawPlot } from '../svg.ts';
import { print, table } from '../table.ts';
import { callOfWords, delayLine, type WordsOutcome } from './calls.ts';
import { CARRIERS, type Carrier, NAMES, SideStage } from './stage.ts';

const USAGE = `usage: npm run bench:move -- [--seconds 30] [--runs 5] [--quick] [--carrier NAME]... [--one-way-ms 50] [--new-first] [--gap 300]
                             [--plots DIRECTORY]

A call that moves: in mid-sentence the host of the page is given another address, and audio goes on by Parley, by a relay of
WebSockets over TLS whose page dials again a second after its socket closed, and by WebRTC whose page calls again when its
connection failed. Needs root.

  --seconds 30     of speech in each call, as whole sentences of about 7 s; a quarter of it before the move
  --runs 5         medians are shown, and the least and the most
  --quick          16 s of speech: with --runs 1 about two minutes
  --carrier NAME   parley, ws or webrtc; may be said more than once
  --one-way-ms 50  delay of the path
  --new-first      the new address is there before the old one goes; else after it
  --gap 300        ms between the two
  --plots DIR      draws a plot (SVG) there`;

const values = readArguments(
  USAGE,
  {
    seconds: { type: 'string' },
    runs: { type: 'string', default: '5' },
    quick: { type: 'boolean', default: false },
    carrier: { type: 'string', multiple: true, default: [...CARRIERS] },
    'one-way-ms': { type: 'string', default: '50' },
    'new-first': { type: 'boolean', default: false },
    gap: { type: 'string', default: '300' },
    plots: { type: 'string' },
  },
  { least: { seconds: 1, runs: 1, 'one-way-ms': 0, gap: 0 }, oneOf: { carrier: CARRIERS } },
);
const runs = Number(values.runs);
const speechMs = 1000 * Number(values.seconds ?? (values.quick ? 16 : 30));
const delayMs = Number(values['one-way-ms']);
/** What is not there so long after the speech is lost. */
const GRACE_MS = 6000;
const WINDOW_SAMPLES = 480;
/** 100 ms. */
const RUN_WINDOWS = 5;

interface Move {
  /** From the new address (or the end of the old one, when that is later) to the first audio at the upstream that was said after it. */
  readonly flowsMs: number;
  /** Samples that were audible and did not come. */
  readonly lostSamples: number;
  readonly movedAt: number;
  readonly outcome: WordsOutcome;
}

/** When the first of so many windows in a row came that did: one alone may look like another by chance. Infinity: never. */
function flowsAgain(windows: readonly Window[]): number {
  const first = windows.findIndex(
    (_, i) =>
      i + RUN_WINDOWS <= windows.length &&
      windows.slice(i, i + RUN_WINDOWS).every(({ heardAt }) => heardAt !== undefined),
  );
  return windows[first]?.heardAt ?? Number.POSITIVE_INFINITY;
}

async function move(stage: SideStage, carrier: Carrier): Promise<Move> {
  let movedAt = 0;
  const happens = async () => {
    const newFirst = values['new-first'];
    movedAt =
      performance.timeOrigin +
      (await stage.path.left.replaceAddress({ newFirst, gapMs: Number(values.gap) }));
  };
  const outcome = await callOfWords(stage, {
    carrier,
    conditions: { delayMs },
    speechMs,
    graceMs: GRACE_MS,
    incident: { afterMs: speechMs / 4, happens },
  });
  const flowsMs = flowsAgain(outcome.windows.filter(({ saidAt }) => saidAt > movedAt)) - movedAt;
  const lostSamples = WINDOW_SAMPLES * outcome.windows.filter(({ heardAt }) => heardAt === undefined).length;
  const when = Number.isFinite(flowsMs) ? `again after ${flowsMs.toFixed(0)} ms` : 'never again';
  print(
    `${NAMES[carrier]}: audio ${when}, ${lostSamples} samples lost; ${outcome.notes}; load ${outcome.load.toFixed(1)}`,
  );
  return { flowsMs, lostSamples, movedAt, outcome };
}

function rowOf(carrier: Carrier, moves: readonly Move[]): string[] {
  const came = moves.filter(({ flowsMs }) => Number.isFinite(flowsMs));
  return [
    NAMES[carrier],
    `${came.length} of ${moves.length}`,
    withSpread(came.map(({ flowsMs }) => flowsMs)),
    withSpread(moves.map(({ lostSamples }) => lostSamples)),
    withSpread(
      moves.map(({ lostSamples }) => lostSamples / 24_000),
      1,
    ),
    withSpread(
      moves.map(({ outcome }) => outcome.load),
      1,
    ),
  ];
}

function draw(byCarrier: ReadonlyMap<Carrier, readonly Move[]>, directory: string): void {
  mkdirSync(directory, { recursive: true });
  const svg = drawPlot({
    title: 'The address of the page changes at 0 s',
    xTitle: 's, when it was said; where a line is missing nothing came',
    yTitle: 'ms from microphone to model',
    logarithmic: true,
    lines: [...byCarrier].map(([carrier, [first]]) => ({
      name: NAMES[carrier],
      points: delayLine(first!.outcome.windows, first!.movedAt),
    })),
  });
  writeFileSync(join(directory, 'move.svg'), svg);
}

const carriers = values.carrier as Carrier[];
const stage = await SideStage.open();
try {
  const results = new Map(carriers.map((carrier) => [carrier, [] as Move[]]));
  for (let run = 0; run < runs; run++)
    for (const [carrier, moves] of results) moves.push(await move(stage, carrier));
  const head = ['carrier', 'went on', 'audio again, ms', 'samples lost', 's lost', 'load'];
  const rows = [...results].map(([carrier, moves]) => rowOf(carrier, moves));
  const order = values['new-first'] ? 'new one first' : 'old one gone first';
  print(
    `\naddress replaced (${order}, ${values.gap} ms between), ${speechMs / 1000} s of speech, ${2 * delayMs} ms round trip, ${runs} runs: median (least–most)\n${table(head, rows)}\n${circumstances()}`,
  );
  if (values.plots !== undefined) draw(results, values.plots);
} finally {
  await stage.close();
}
