import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { advanceRotation } from '../../proto/quic-lb/index.ts';
import { Child } from '../bench/child.ts';
import { PAGE_MODULE } from '../simulation/calls/page-face.ts';
import { compile, compilePrograms } from '../support/compiled.ts';
import { BROWSER_LIBRARY } from '../support/node-call.ts';
import type { CallersReport } from './callers.ts';
import { House, type Program, type Use, wait } from './house.ts';
import { type MachineReport, MachineWatch } from './machine.ts';
import type { NetworkOptions } from './networks.ts';
import { type ChaosEvent, type ChaosKind, drawSchedule } from './plan.ts';
import { type RotationReport, RotationWatch } from './rotation.ts';

/** Calls share so many networks, each of which is cut, and changes its addresses, alone. */
const NETWORKS = 4;
const DELAY_MS = 10;
const STOPPED_MS = 5000;
/** How long the network of some calls is gone, in ms. */
const CUT_MS = [3000, 20_000] as const;
/** Time between withdrawing a forwarder and ending it, in ms: nothing is sent to it then. */
const WITHDRAWN_MS = 500;
const ADDED_MS = 3000;
/** What all say at the end is waited for until nothing has arrived for so long, in ms, and for so long at most. */
const STILL_MS = 30_000;
const REST_MS = 300_000;
/** Time for all calls to begin, in ms. */
const OPENING_MS = 600_000;
/** Calls run for so long before and after what an operator does, in ms. */
const AROUND_MS = 5000;

export interface ChaosOptions {
  readonly seed: number;
  readonly calls: number;
  /** How long things go wrong, in ms. */
  readonly runMs: number;
  readonly backends: number;
  readonly forwarders: number;
  /** Share of packets that the network loses each way, 0 to 1. */
  readonly loss: number;
  /** Audio is given to the page in pieces of so many ms. */
  readonly frameMs: number;
  /** Share of callers that mute their microphones in pauses, 0 to 1: they cost less. Default 0. */
  readonly mutedShare?: number;
  /** Pauses in which an answer is heard last so many times as long. Default 1. */
  readonly pauses?: number;
  /** Where the logs of all programs are written in the end. */
  readonly logs?: string | undefined;
  /** How long calls of a backend that drains get to move. Default 4. */
  readonly drainSeconds?: number;
  /** Told what happens as it happens. */
  readonly note?: (text: string) => void;
}

/** Something that was done, when it began (ms since 1970), and how long it took until all was there again, in ms. */
export interface Happened {
  readonly kind: string;
  readonly at: number;
  readonly tookMs: number;
}

/** The worker of a program: its memory in MiB, and the share of a core that it used. */
export interface ProcessReport {
  readonly name: string;
  readonly before: number;
  readonly after: number;
  readonly coreShare: number;
}

export interface ChaosReport extends CallersReport {
  readonly happened: readonly Happened[];
  readonly processes: readonly ProcessReport[];
  readonly rotations: readonly RotationReport[];
  /** The longest silence of each call while `watch` did what an operator does, in ms; empty without it. */
  readonly silences: readonly number[];
  readonly machine: MachineReport;
}

/** A cluster of processes under calls, and what is done to it. */
export class Chaos {
  readonly #house: House;
  readonly #options: ChaosOptions;
  readonly #callers = new Child('../chaos/callers.ts');
  /** Forwarders that the network knows of. */
  readonly #announced: Program[] = [];
  readonly #happened: Happened[] = [];
  readonly #rotations: RotationWatch[] = [];
  #before: { readonly name: string; readonly use: Use }[] = [];
  #silences: readonly number[] = [];
  #machine = new MachineWatch();

  constructor(options: ChaosOptions) {
    this.#options = options;
    this.#house = new House(options.drainSeconds ?? 4);
  }

  async open(): Promise<void> {
    const { backends, forwarders, calls, seed, frameMs, loss, mutedShare = 0, pauses = 1 } = this.#options;
    // Compiled code costs a fraction of what the sources do as a loader runs them: the machine is for calls.
    compilePrograms();
    // Its carrier over TCP, which no call here uses, knows the library as browsers have it.
    const page = compile(fileURLToPath(PAGE_MODULE), 'chaos-page.mjs', {
      '@fails-components/webtransport': BROWSER_LIBRARY,
    });
    const { certificatePath: certificate, keyPath: key } = this.#house.upstreamCertificate;
    const port = await this.#callers.ask<number>({ op: 'start', certificate, key });
    await this.#house.start({ backends, forwarders }, port);
    this.#announced.push(...this.#house.forwarders);
    const networks: NetworkOptions[] = Array.from({ length: NETWORKS }, (_, i) => ({
      delayMs: DELAY_MS,
      lossRate: loss,
      seed: seed + i,
    }));
    const request = {
      op: 'open',
      count: calls,
      networks,
      forwarders: this.#announced.map(({ port }) => port),
      hashes: this.#house.certificateHashes,
      seed,
      frameMs,
      mutedShare,
      pauses,
      page,
    };
    await this.#callers.ask(request, OPENING_MS);
    this.#machine = new MachineWatch();
    this.#before = this.#programs.map(({ name, uses }) => ({ name, use: uses }));
    this.#note(`${calls} calls run`);
  }

  get #programs(): Program[] {
    return [...this.#house.backends, ...this.#house.forwarders];
  }

  #note(text: string): void {
    this.#options.note?.(text);
  }

  /** Everything that the seed says, at its time. What touches one kind of process waits until the one before is over. */
  async runSchedule(): Promise<void> {
    const { seed, runMs } = this.#options;
    const begun = performance.now();
    const lanes = new Map<string, Promise<void>>();
    for (const event of drawSchedule(seed, runMs)) {
      await wait(event.atMs - (performance.now() - begun));
      const lane = LANES[event.kind];
      const before = lanes.get(lane) ?? Promise.resolve();
      const done = before.then(() => this.do(event.kind, () => this.#act(event)));
      lanes.set(lane, done);
      // A failure is told at the end; it must not be an unhandled one before.
      done.catch(() => {});
    }
    await wait(runMs - (performance.now() - begun));
    await Promise.all(lanes.values());
  }

  /** Does something, and writes down that and how long it was done. */
  async do(kind: string, action: () => Promise<void>): Promise<void> {
    const at = performance.timeOrigin + performance.now();
    const from = performance.now();
    this.#note(kind);
    await action();
    this.#happened.push({ kind, at, tookMs: performance.now() - from });
  }

  async #act({ kind, which, amount }: ChaosEvent): Promise<void> {
    const pick = <T>(all: readonly T[]): T => all[Math.floor(which * all.length)]!;
    const { backends } = this.#house;
    const network = Math.floor(which * NETWORKS);
    switch (kind) {
      case 'forwarder killed':
        return pick(this.#announced).killWorker();
      case 'backend killed':
        return pick(backends).killWorker();
      case 'backend stopped for 5 s': {
        const backend = pick(backends);
        backend.signalWorker('SIGSTOP');
        await wait(STOPPED_MS);
        backend.signalWorker('SIGCONT');
        return;
      }
      case 'backend drained':
        return this.replace(pick(backends));
      case 'config rotated':
        return this.rotate();
      case 'certificate renewed':
        this.#house.renewCertificate();
        return;
      case 'upstreams end':
        await this.#callers.ask({ op: 'end upstreams', share: 0.1 + amount / 2 });
        return;
      case 'network cut':
        return this.#cut(network, CUT_MS[0] + amount * (CUT_MS[1] - CUT_MS[0]));
      case 'addresses change':
        await this.#callers.ask({ op: 'rebind', network });
        return;
      case 'interfaces gone':
        await this.#callers.ask({ op: 'lose sessions', share: 0.1 + amount / 2 });
        return;
      case 'forwarder added and taken away':
        return this.#addForwarder();
    }
  }

  async #cut(network: number, ms: number): Promise<void> {
    await this.#setLoss(network, 1);
    await wait(ms);
    await this.#setLoss(network, this.#options.loss);
  }

  async #setLoss(network: number, lossRate: number): Promise<void> {
    await this.#callers.ask({ op: 'network', network, lossRate });
  }

  /** Packets go to this forwarder too from now on, or not any more. */
  async #announce(forwarder: Program, isThere: boolean): Promise<void> {
    if (isThere) this.#announced.push(forwarder);
    else this.#announced.splice(this.#announced.indexOf(forwarder), 1);
    await this.#callers.ask({ op: 'announce', forwarders: this.#announced.map(({ port }) => port) });
  }

  async #addForwarder(): Promise<void> {
    const forwarder = await this.#house.newForwarder();
    this.#house.forwarders.push(forwarder);
    await forwarder.start();
    await this.#announce(forwarder, true);
    await wait(ADDED_MS);
    await this.#withdraw(forwarder);
    await forwarder.end('SIGTERM');
    this.#house.forwarders.splice(this.#house.forwarders.indexOf(forwarder), 1);
  }

  async #withdraw(forwarder: Program): Promise<void> {
    await this.#announce(forwarder, false);
    await wait(WITHDRAWN_MS);
  }

  /** Ends a program as an operator does, and starts it again: a forwarder is withdrawn before. */
  async replace(program: Program): Promise<void> {
    const isForwarder = this.#announced.includes(program);
    if (isForwarder) await this.#withdraw(program);
    await program.end('SIGTERM');
    await program.start();
    if (isForwarder) await this.#announce(program, true);
  }

  /** Does what an operator does, with some time before and after it. Gives the longest silence of each call in all that, in ms. */
  async watch(action: () => Promise<void>): Promise<readonly number[]> {
    const takeSilences = () => this.#callers.ask<number[]>({ op: 'silences' });
    await wait(AROUND_MS);
    await takeSilences();
    await action();
    await wait(AROUND_MS);
    this.#silences = await takeSilences();
    return this.#silences;
  }

  /** One process of the cluster after the other: what an operator does to bring a new version out. */
  async rollOut(): Promise<void> {
    for (const program of this.#programs) {
      await this.do(`${program.name.replace(/-\d+$/, '')} replaced`, () => this.replace(program));
      await wait(WITHDRAWN_MS);
    }
  }

  /** A whole rotation, a file for each of its three steps. */
  async rotate(): Promise<void> {
    await this.#nextFile();
    const [old, next] = (this.#house.cluster.quicLb as { configRotation: number }[]).map(
      ({ configRotation }) => configRotation,
    );
    const watch = new RotationWatch(old!, next!, () => this.#house);
    await watch.begin();
    await this.#nextFile();
    await watch.untilMoved();
    this.#rotations.push(watch);
    await this.#nextFile();
  }

  async #nextFile(): Promise<void> {
    const step = advanceRotation(this.#house.cluster, () => randomBytes(16).toString('hex'));
    if (typeof step === 'string') throw new Error(step);
    await this.#house.giveCluster(step.file);
  }

  /** What the machine and its processes did while calls ran. */
  #took(): Pick<ChaosReport, 'machine' | 'processes'> {
    const processes = this.#before.map(({ name, use }) => {
      const { uses } = this.#programs.find((one) => one.name === name)!;
      // One that was started again in the meantime has its start in it, too.
      const { cpuMs, upMs } = uses.pid === use.pid ? use : { cpuMs: 0, upMs: 0 };
      const coreShare = (uses.cpuMs - cpuMs) / Math.max(1, uses.upMs - upMs);
      return { name, before: use.residentMiB, after: uses.residentMiB, coreShare };
    });
    return { machine: this.#machine.report(), processes };
  }

  /** All is well from now on; gives what became of every call. */
  async finish(): Promise<ChaosReport> {
    for (let network = 0; network < NETWORKS; network++) await this.#setLoss(network, this.#options.loss);
    this.#note('all is well; what is under way arrives');
    const took = this.#took();
    const report = await this.#callers.ask<CallersReport>(
      { op: 'rest', stillMs: STILL_MS, withinMs: REST_MS },
      REST_MS + STILL_MS,
    );
    if (this.#options.logs !== undefined) await this.#writeLogs(this.#options.logs);
    await this.#callers.ask({ op: 'hang up' });
    return {
      ...report,
      ...took,
      happened: this.#happened,
      rotations: await Promise.all(this.#rotations.map((watch) => watch.report())),
      silences: this.#silences,
    };
  }

  /** What the programs said, and what they count now: a file each. */
  async #writeLogs(directory: string): Promise<void> {
    mkdirSync(directory, { recursive: true });
    for (const program of this.#programs) {
      writeFileSync(join(directory, `${program.name}.log`), program.log.join('\n'));
      writeFileSync(join(directory, `${program.name}.metrics`), await program.metrics());
    }
  }

  async close(): Promise<void> {
    await this.#callers.stop();
    await this.#house.close();
  }
}

/** What may not go on at the same moment. */
const LANES: Readonly<Record<ChaosKind, string>> = {
  'forwarder killed': 'forwarders',
  'forwarder added and taken away': 'forwarders',
  'backend killed': 'backends',
  'backend stopped for 5 s': 'backends',
  'backend drained': 'backends',
  'config rotated': 'files',
  'certificate renewed': 'files',
  'upstreams end': 'upstreams',
  'network cut': 'networks',
  'addresses change': 'networks',
  'interfaces gone': 'networks',
};
