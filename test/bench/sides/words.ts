import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readArguments } from '../../support/arguments.ts';
import type { PathConditions } from '../../support/netpath/index.ts';
import { quantile } from '../../support/network-run.ts';
import { circumstances, median, withSpread } from '../figures.ts';
import { drawPlot, type Line } from '../svg.ts';
import { print, table } from '../table.ts';
import { callOfWords, delayLine, type WordsOutcome } from './calls.ts';
import { CARRIERS, type Carrier, NAMES, SideStage } from './stage.ts';

const USAGE = `usage: npm run bench:words -- [--seconds 30] [--runs 5] [--quick] [--only NAME]... [--carrier NAME]... [--one-way-ms 50]
                              [--codec auto] [--tcp cubic] [--grace 10] [--plots DIRECTORY]

Words that arrive: a caller in Chromium speaks over a path that loses packets each way, carried by Parley, by a relay of
WebSockets over TLS and by WebRTC, in turn. Needs root.

  --seconds 30      of speech in each call, as whole sentences of about 7 s
  --runs 5          of every cell; medians are shown, and the least and the most
  --quick           7 s of speech, four cells, 3 s of grace: with --runs 1 less than three minutes
  --only NAME       cells whose name begins so; may be said more than once
  --carrier NAME    parley, ws or webrtc; may be said more than once
  --one-way-ms 50   delay of the path
  --codec auto      of Parley's page: auto, pcm or opus
  --tcp cubic       the kernel's congestion control in both namespaces
  --grace 10        s behind the speech in which late audio counts
  --plots DIR       draws plots (SVG) there`;

/** Packets lost in a row where losses come in bursts: 100 ms of voice. */
const BURST = 5;
const OUTAGE_MS = 2000;
const LOSSES = [0, 0.01, 0.05, 0.1, 0.2];
const QUICK_CELLS = ['0 %', '20 %, one by one', '5 %, bursts', 'outage'];

interface Cell {
  readonly name: string;
  readonly kind: 'one by one' | 'bursts' | 'outage';
  readonly lossRate: number;
}

/** Without loss there is one cell, which is no burst either. */
const CELLS: readonly Cell[] = [
  ...LOSSES.map((lossRate): Cell => {
    const percent = `${100 * lossRate} %`;
    return { name: lossRate === 0 ? percent : `${percent}, one by one`, kind: 'one by one', lossRate };
  }),
  ...LOSSES.slice(1).map(
    (lossRate): Cell => ({ name: `${100 * lossRate} %, bursts`, kind: 'bursts', lossRate }),
  ),
  { name: 'outage of 2 s', kind: 'outage', lossRate: 0 },
];

const values = readArguments(
  USAGE,
  {
    seconds: { type: 'string' },
    runs: { type: 'string', default: '5' },
    quick: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
    carrier: { type: 'string', multiple: true, default: [...CARRIERS] },
    'one-way-ms': { type: 'string', default: '50' },
    codec: { type: 'string', default: 'auto' },
    tcp: { type: 'string', default: 'cubic' },
    grace: { type: 'string' },
    plots: { type: 'string' },
  },
  {
    least: { seconds: 1, runs: 1, 'one-way-ms': 0, grace: 0 },
    oneOf: { carrier: CARRIERS, codec: ['auto', 'pcm', 'opus'] },
  },
);
const runs = Number(values.runs);
const speechMs = 1000 * Number(values.seconds ?? (values.quick ? 7 : 30));
const graceMs = 1000 * Number(values.grace ?? (values.quick ? 3 : 10));
const delayMs = Number(values['one-way-ms']);
const carriers = values.carrier as Carrier[];

/** Figures of one call. */
interface Figures {
  /** Percent of samples that came: by the count of both ends, by libwebrtc's of those it had to make up for WebRTC. */
  readonly arrived: number;
  /** Percent of audible windows of 20 ms that are the same wave at the upstream. */
  readonly alike: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  readonly outcome: WordsOutcome;
}

function figuresOf(outcome: WordsOutcome): Figures {
  const { record, windows, webrtc } = outcome;
  const delays = windows.flatMap(({ saidAt, heardAt }) => (heardAt === undefined ? [] : [heardAt - saidAt]));
  const came = Math.min(record.heard.length, record.said.length);
  // The silence before the speech is no word.
  const begins = windows[0]?.at ?? 0;
  const counted = Math.max(0, came - begins) / (record.said.length - begins);
  return {
    arrived: 100 * (webrtc === undefined ? counted : 1 - webrtc.concealed / webrtc.total),
    alike: (100 * delays.length) / windows.length,
    p50: quantile(delays, 0.5),
    p95: quantile(delays, 0.95),
    p99: quantile(delays, 0.99),
    outcome,
  };
}

async function measure(stage: SideStage, cell: Cell, carrier: Carrier): Promise<Figures> {
  const conditions: PathConditions = {
    delayMs,
    lossRate: cell.lossRate,
    burst: cell.kind === 'bursts' ? BURST : 1,
  };
  const outage = { afterMs: speechMs / 2, happens: () => stage.path.outage(OUTAGE_MS) };
  const outcome = await callOfWords(stage, {
    carrier,
    conditions,
    speechMs,
    graceMs,
    ...(cell.kind === 'outage' && { incident: outage }),
  });
  const figures = figuresOf(outcome);
  const { arrived, alike, p50, p95, p99 } = figures;
  print(
    `${cell.name}, ${NAMES[carrier]}: ${arrived.toFixed(2)} % arrived, ${alike.toFixed(1)} % alike, ${[p50, p95, p99].map((ms) => ms.toFixed(0)).join(' ')} ms; ${outcome.notes}; load ${outcome.load.toFixed(1)}`,
  );
  return figures;
}

type Results = ReadonlyMap<Cell, ReadonlyMap<Carrier, readonly Figures[]>>;

async function measureAll(stage: SideStage, cells: readonly Cell[]): Promise<Results> {
  const results = new Map(
    cells.map((cell) => [cell, new Map(carriers.map((one) => [one, [] as Figures[]]))]),
  );
  for (let run = 0; run < runs; run++) {
    for (const [cell, byCarrier] of results)
      for (const [carrier, all] of byCarrier) all.push(await measure(stage, cell, carrier));
  }
  return results;
}

function rowsOf(results: Results): string[][] {
  return [...results].flatMap(([cell, byCarrier]) =>
    [...byCarrier].map(([carrier, all]) => {
      const of = (read: (figures: Figures) => number, digits = 0) => withSpread(all.map(read), digits);
      return [
        cell.name,
        NAMES[carrier],
        of(({ arrived }) => arrived, 2),
        of(({ alike }) => alike, 1),
        of(({ p50 }) => p50),
        of(({ p95 }) => p95),
        of(({ p99 }) => p99),
        of(({ outcome }) => outcome.load, 1),
      ];
    }),
  );
}

function linesOf(results: Results, kind: Cell['kind'], read: (figures: Figures) => number): Line[] {
  const cells = [...results.keys()].filter(
    (cell) => cell.kind !== 'outage' && (cell.kind === kind || cell.lossRate === 0),
  );
  return carriers.map((carrier) => ({
    name: NAMES[carrier],
    points: cells.map((cell) => ({
      x: 100 * cell.lossRate,
      y: median(results.get(cell)!.get(carrier)!.map(read)),
    })),
  }));
}

function draw(results: Results, directory: string): void {
  mkdirSync(directory, { recursive: true });
  const save = (name: string, svg: string) => writeFileSync(join(directory, `${name}.svg`), svg);
  for (const kind of ['one by one', 'bursts'] as const) {
    // Of one cell there is no line.
    if ([...results.keys()].filter((cell) => cell.kind === kind).length < 2) continue;
    const name = kind.replaceAll(' ', '-');
    const xTitle = `% of packets lost each way, ${kind === 'bursts' ? `${BURST} in a row` : kind}`;
    save(
      `words-delay-${name}`,
      drawPlot({
        title: 'How late the caller’s words come to the model',
        xTitle,
        yTitle: 'ms, 99 of 100 windows of 20 ms come within',
        logarithmic: true,
        lines: linesOf(results, kind, ({ p99 }) => p99),
      }),
    );
    save(
      `words-arrived-${name}`,
      drawPlot({
        title: 'Words that come to the model',
        xTitle,
        yTitle: '% of audible windows of 20 ms that are the same wave there',
        lines: linesOf(results, kind, ({ alike }) => alike),
      }),
    );
  }
  const outage = [...results].find(([{ kind }]) => kind === 'outage')?.[1];
  if (outage === undefined) return;
  save(
    'words-outage',
    drawPlot({
      title: 'An outage of 2 s',
      xTitle: 's, when it was said; where a line is missing nothing came',
      yTitle: 'ms from microphone to model',
      logarithmic: true,
      lines: [...outage].map(([carrier, [first]]) => ({
        name: NAMES[carrier],
        points: delayLine(first!.outcome.windows, first!.outcome.windows[0]!.saidAt),
      })),
    }),
  );
}

const wanted = values.only ?? (values.quick ? QUICK_CELLS : ['']);
const cells = CELLS.filter(({ name }) => wanted.some((beginning) => name.startsWith(beginning)));
const stage = await SideStage.open({ codec: values.codec as 'auto', tcp: values.tcp });
try {
  const results = await measureAll(stage, cells);
  const head = ['loss each way', 'carrier', 'arrived %', 'alike %', 'p50 ms', 'p95', 'p99', 'load'];
  print(
    `\n${speechMs / 1000} s of speech, ${2 * delayMs} ms round trip, ${runs} runs: median (least–most). TCP: ${stage.tcp}; Parley: ${values.codec}\n${table(head, rowsOf(results))}\n${circumstances()}`,
  );
  if (values.plots !== undefined) draw(results, values.plots);
} finally {
  await stage.close();
}
