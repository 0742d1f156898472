import { execFileSync } from 'node:child_process';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import type { ServiceObserver } from '../../../server/realtime/local/index.ts';
import { readArguments } from '../../support/arguments.ts';
import { circumstances, median, withSpread } from '../figures.ts';
import { print, table } from '../table.ts';
import { CARRIERS, type Carrier, NAMES, SideStage } from './stage.ts';

const USAGE = `usage: npm run bench:time-to-talk -- [--runs 5] [--quick] [--rtt 20]... [--carrier NAME]...

Time to talk: from the click to the first sound of the microphone at the upstream, by Parley, by a relay of WebSockets over
TLS and by WebRTC, cold (nothing connected) and prepared (connected without a microphone). Page in Chromium. Needs root.

  --runs 5         medians are shown, and the least and the most
  --quick          20 and 300 ms only: with --runs 1 about a minute
  --rtt MS         round trips to measure with; may be said more than once. Default 20, 100, 300
  --carrier NAME   parley, ws or webrtc; may be said more than once`;

const values = readArguments(
  USAGE,
  {
    runs: { type: 'string', default: '5' },
    quick: { type: 'boolean', default: false },
    rtt: { type: 'string', multiple: true },
    carrier: { type: 'string', multiple: true, default: [...CARRIERS] },
  },
  { least: { runs: 1, rtt: 0 }, oneOf: { carrier: CARRIERS } },
);
const runs = Number(values.runs);
const roundTripsMs = (values.rtt ?? (values.quick ? ['20', '300'] : ['20', '100', '300'])).map(Number);
const carriers = values.carrier as Carrier[];

/** A sample from here on is of the microphone: a peer connection puts out silence, and noise of its own, before that. */
const LOUD = 500;
const TIMEOUT_MS = 30_000;

/** A microphone that is never silent, from its first sample on. */
function noiseWav(directory: string): string {
  const wav = join(directory, 'noise.wav');
  execFileSync('sox', [
    '-R',
    '-n',
    '-r',
    '48000',
    '-c',
    '1',
    '-b',
    '16',
    wav,
    ...'synth 30 pinknoise gain -n -3'.split(' '),
  ]);
  return wav;
}

/** The moment, in ms since 1970, at which the upstream is given sound. */
function firstSound(stage: SideStage): Promise<number> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error('no sound came to the upstream')), TIMEOUT_MS);
    const observer: ServiceObserver = {
      onAppend: (_, pcm) => {
        const view = new DataView(pcm.buffer, pcm.byteOffset, pcm.length);
        for (let at = 0; at + 1 < pcm.length; at += 2) {
          if (Math.abs(view.getInt16(at, true)) < LOUD) continue;
          clearTimeout(timer);
          stage.observer = {};
          resolve(performance.timeOrigin + performance.now());
          return;
        }
      },
    };
    stage.observer = observer;
  });
}

/** One call; gives the time from the click to the first sound, in ms. */
async function measure(
  stage: SideStage,
  carrier: Carrier,
  roundTripMs: number,
  prepared: boolean,
): Promise<number> {
  const page = await stage.openPage();
  await stage.path.set({ delayMs: roundTripMs / 2 });
  if (prepared) {
    await page.evaluate(`sides.${carrier}.prepare()`);
    // What a connection does at its beginning is over.
    await new Promise((resolve) => setTimeout(resolve, 500 + 3 * roundTripMs));
  }
  const sound = firstSound(stage);
  const clickedAt = (await page.evaluate(`sides.${carrier}.talk()`)) as number;
  const tookMs = (await sound) - clickedAt;
  await stage.closePage(page, carrier);
  return tookMs;
}

interface Cell {
  readonly carrier: Carrier;
  readonly roundTripMs: number;
  readonly prepared: boolean;
  readonly tookMs: number[];
}

/** Round trips alone, without what machine and microphone take: by how much more it takes where they are longer. */
function roundTripsOf(cell: Cell, cells: readonly Cell[]): string {
  const same = cells.filter(
    ({ carrier, prepared }) => carrier === cell.carrier && prepared === cell.prepared,
  );
  const [first, last] = [same[0]!, same.at(-1)!];
  if (first === last) return '-';
  return ((median(last.tookMs) - median(first.tookMs)) / (last.roundTripMs - first.roundTripMs)).toFixed(1);
}

const stage = await SideStage.open({ wav: noiseWav });
try {
  const cells: Cell[] = [false, true].flatMap((prepared) =>
    carriers.flatMap((carrier) =>
      roundTripsMs.map((roundTripMs) => ({ carrier, roundTripMs, prepared, tookMs: [] })),
    ),
  );
  // The browser's audio process, and code that is compiled on its first use, are there for all alike.
  for (const carrier of carriers) await measure(stage, carrier, 0, false);
  for (let run = 0; run < runs; run++) {
    for (const { carrier, roundTripMs, prepared, tookMs } of cells) {
      tookMs.push(await measure(stage, carrier, roundTripMs, prepared));
      print(
        `${prepared ? 'prepared' : 'cold'}, ${roundTripMs} ms, ${NAMES[carrier]}: ${tookMs.at(-1)!.toFixed(0)} ms; load ${loadavg()[0]!.toFixed(1)}`,
      );
    }
  }
  const rows = cells.map((cell) => [
    cell.prepared ? 'prepared' : 'cold',
    NAMES[cell.carrier],
    String(cell.roundTripMs),
    withSpread(cell.tookMs),
    withSpread(
      cell.tookMs.map((ms) => ms / cell.roundTripMs),
      1,
    ),
    roundTripsOf(cell, cells),
  ]);
  const head = ['', 'carrier', 'round trip, ms', 'ms to first sound', 'in round trips', 'round trips alone'];
  print(
    `\nfrom the click to the first sound at the upstream, ${runs} runs: median (least–most)\n${table(head, rows)}\n${circumstances()}`,
  );
} finally {
  await stage.close();
}
