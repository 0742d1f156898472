import { monitorEventLoopDelay } from 'node:perf_hooks';
import { answerParent } from '../bench/child.ts';
import { loadPages } from '../simulation/calls/page-face.ts';
import { ChaosCaller, type Touch } from './caller.ts';
import { Network, type NetworkOptions } from './networks.ts';
import { Upstreams } from './upstreams.ts';
import { NodeWebTransport } from './web-transport.ts';

/** All callers, their networks and the upstreams of their calls, in one process, so that what is said and what is heard can be compared. */

/** Calls that begin at the same time. */
const OPENING = 8;
/** Port of the first network in URLs: it says which network a call has. */
const FIRST_PORT = 4433;
/** How often it is looked whether all is quiet, in ms. */
const LOOK_MS = 100;
/** Sentences that are kept of what went wrong with one call. */
const FAULTS_OF_ONE = 6;

/** What became of one call. */
export interface CallReport {
  readonly tag: number;
  readonly sessions: readonly string[];
  /** Its microphone was muted in pauses, in which nothing but the figures of each second is heard. */
  readonly mutes: boolean;
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
const networks: Network[] = [];
const lag = monitorEventLoopDelay({ resolution: 10 });
let upstreams: Upstreams;
let cpu = process.cpuUsage();
let since = performance.now();

async function open(request: OpenRequest): Promise<void> {
  Object.assign(globalThis, { WebTransport: NodeWebTransport, WebSocket: undefined });
  const { count, hashes, seed, frameMs, mutedShare, pauses, page, forwarders } = request;
  networks.push(...request.networks.map((options) => new Network(options)));
  announce(forwarders);
  NodeWebTransport.openSocket = async (port) => ({
    socket: await networks[port - FIRST_PORT]!.open(),
    remote: { host: '127.0.0.1', port },
  });
  const pages = await loadPages(page);
  const all = Array.from({ length: count }, (_, i) => {
    const url = `https://localhost:${FIRST_PORT + (i % networks.length)}/voice`;
    const tag = i + 1;
    const mutes = tag <= count * mutedShare;
    const how = { tag, seed, frameMs, mutes, pauses, url, certificateHashes: hashes };
    const caller = new ChaosCaller(pages, how);
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
  /** Calls are dealt to them in turn. */
  readonly networks: readonly NetworkOptions[];
  /** Ports of the forwarders that are announced. */
  readonly forwarders: readonly number[];
  readonly hashes: readonly string[];
  readonly seed: number;
  readonly frameMs: number;
  readonly mutedShare: number;
  readonly pauses: number;
  /** Where the page's module lies, compiled. */
  readonly page: string;
}

function announce(forwarders: readonly number[]): void {
  for (const network of networks) network.forwarders = forwarders;
}

/** What of all calls has arrived, either way, in samples. */
function arrived(): number {
  let samples = 0;
  for (const { page, answers } of callers.values()) samples += page.receivedSamples + answers.heardSamples;
  return samples;
}

/** Nothing goes wrong from now on: everyone says one more thing, and all is waited for, as long as something arrives. */
async function comeToRest(stillMs: number, withinMs: number): Promise<CallersReport> {
  const { user, system } = process.cpuUsage(cpu);
  const coreShare = (user + system) / 1000 / (performance.now() - since);
  lag.disable();
  const all = [...callers.values()];
  await Promise.all(all.map((caller) => caller.finish()));
  const end = performance.now() + withinMs;
  const isQuiet = (caller: ChaosCaller) => caller.quiet || caller.failure !== undefined;
  let [samples, movedAt] = [0, performance.now()];
  const now = () => performance.now();
  for (let quietLooks = 0; quietLooks < 5 && now() < end && now() - movedAt < stillMs; ) {
    quietLooks = all.every(isQuiet) ? quietLooks + 1 : 0;
    if (arrived() !== samples) movedAt = now();
    samples = arrived();
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
    mutes: caller.mutes,
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
    case 'announce':
      return announce(request.forwarders as readonly number[]);
    case 'network':
      networks[Number(request.network)]!.lossRate = Number(request.lossRate);
      return undefined;
    case 'rebind':
      return networks[Number(request.network)]!.rebind();
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
      return comeToRest(Number(request.stillMs), Number(request.withinMs));
    case 'hang up':
      for (const caller of callers.values()) caller.hangUp();
      return undefined;
    default:
      throw new Error(`unknown request ${request.op}`);
  }
});
