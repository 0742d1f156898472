import { monitorEventLoopDelay } from 'node:perf_hooks';
import { answerParent } from '../bench/child.ts';
import { loadPages } from '../simulation/calls/page-face.ts';
import { ChaosCaller, type Touch } from './caller.ts';
import { Upstreams } from './upstreams.ts';
import { NodeWebTransport } from './web-transport.ts';

/** All callers and the upstreams of their calls, in one process, so that what is said and what is heard can be compared. */

/** Calls that begin at the same time. */
const OPENING = 8;
/** How often it is looked whether all is quiet, in ms. */
const LOOK_MS = 100;
/** Sentences that are kept of what went wrong with one call. */
const FAULTS_OF_ONE = 6;

/** What became of one call. */
export interface CallReport {
  readonly tag: number;
  readonly sessions: readonly string[];
  readonly silenceMs: number;
  readonly lateMs: number;
  readonly saidSamples: number;
  readonly heardSamples: number;
  readonly lost: number;
  readonly doubled: number;
  readonly failure: string | undefined;
  readonly faults: readonly string[];
  readonly touches: readonly Touch[];
}

/** What became of all, and whether the callers themselves had the machine that they needed. */
export interface CallersReport {
  readonly calls: readonly CallReport[];
  readonly upstreams: number;
  /** Sessions of upstreams that sent audio of no caller. */
  readonly foreign: number;
  /** How late this process did what was due, in ms: what 99 of 100 times were below, and the longest. */
  readonly lag: { readonly p99Ms: number; readonly maxMs: number };
  /** Share of a core that this process used. */
  readonly coreShare: number;
}

const callers = new Map<number, ChaosCaller>();
const lag = monitorEventLoopDelay({ resolution: 10 });
let upstreams: Upstreams;
let cpu = process.cpuUsage();
let since = performance.now();

async function open(request: OpenRequest): Promise<void> {
  Object.assign(globalThis, { WebTransport: NodeWebTransport, WebSocket: undefined });
  const pages = await loadPages();
  const { count, ports, hashes, seed, frameMs } = request;
  const all = Array.from({ length: count }, (_, i) => {
    const url = `https://localhost:${ports[i % ports.length]}/voice`;
    const tag = i + 1;
    const caller = new ChaosCaller(pages, { tag, seed, frameMs, url, certificateHashes: hashes });
    callers.set(tag, caller);
    return caller;
  });
  for (let at = 0; at < count; at += OPENING)
    await Promise.all(all.slice(at, at + OPENING).map((caller) => caller.start()));
  lag.enable();
  cpu = process.cpuUsage();
  since = performance.now();
}

interface OpenRequest {
  readonly count: number;
  /** Ports of the network: calls are dealt to them in turn. */
  readonly ports: readonly number[];
  readonly hashes: readonly string[];
  readonly seed: number;
  readonly frameMs: number;
}

/** Nothing goes wrong from now on: everyone says one more thing, and all is waited for. */
async function comeToRest(withinMs: number): Promise<CallersReport> {
  const { user, system } = process.cpuUsage(cpu);
  const coreShare = (user + system) / 1000 / (performance.now() - since);
  lag.disable();
  const all = [...callers.values()];
  await Promise.all(all.map((caller) => caller.finish()));
  const end = performance.now() + withinMs;
  const isQuiet = (caller: ChaosCaller) => caller.quiet || caller.failure !== undefined;
  for (let quietLooks = 0; quietLooks < 5 && performance.now() < end; ) {
    quietLooks = all.every(isQuiet) ? quietLooks + 1 : 0;
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
  const calls = all.map((caller) => reportOf(caller, isQuiet(caller)));
  const ms = (nanoseconds: number) => nanoseconds / 1e6;
  return {
    calls,
    upstreams: upstreams.count,
    foreign: upstreams.foreign,
    lag: { p99Ms: ms(lag.percentile(99)), maxMs: ms(lag.max) },
    coreShare,
  };
}

function reportOf(caller: ChaosCaller, quiet: boolean): CallReport {
  caller.checkWhole();
  const found = [caller.microphone.findings, caller.answers.findings];
  const failure = caller.failure ?? (quiet ? undefined : `not all is delivered: ${caller.whereItStands}`);
  return {
    tag: caller.tag,
    sessions: caller.sessions,
    silenceMs: caller.longestSilenceMs,
    lateMs: caller.lateMs,
    saidSamples: caller.page.samples,
    heardSamples: caller.answers.heardSamples,
    lost: found.reduce((sum, { lost }) => sum + lost, 0) + caller.page.forgottenSamples,
    doubled: found.reduce((sum, { doubled }) => sum + doubled, 0),
    failure,
    faults: found.flatMap(({ faults }) => faults).slice(0, FAULTS_OF_ONE),
    touches: caller.touches,
  };
}

answerParent(async (request) => {
  switch (request.op) {
    case 'start':
      upstreams = await Upstreams.open(String(request.certificate), String(request.key), (tag) =>
        callers.get(tag),
      );
      return upstreams.port;
    case 'open':
      return open(request as unknown as OpenRequest);
    case 'end upstreams':
      return upstreams.end(Number(request.share));
    case 'lose sessions': {
      const all = [...NodeWebTransport.standing];
      const lost = all.slice(0, Math.ceil(all.length * Number(request.share)));
      for (const transport of lost) transport.vanish();
      return lost.length;
    }
    case 'silences':
      return [...callers.values()].map((caller) => caller.takeSilence());
    case 'rest':
      return comeToRest(Number(request.withinMs));
    case 'hang up':
      for (const caller of callers.values()) caller.hangUp();
      return undefined;
    default:
      throw new Error(`unknown request ${request.op}`);
  }
});
