import { randomBytes } from 'node:crypto';
import { advanceRotation } from '../../proto/quic-lb/index.ts';
import { Child } from '../bench/child.ts';
import { metric } from '../support/metrics.ts';
import { createRelay, type Relay } from '../support/relay.ts';
import type { CallersReport } from './callers.ts';
import { House, type Program, until, wait } from './house.ts';
import { type ChaosEvent, type ChaosKind, drawSchedule } from './plan.ts';

/** Calls share so many networks, each of which is cut, and changes its addresses, alone. */
const NETWORKS = 4;
const DELAY_MS = 10;
const STOPPED_MS = 5000;
/** How long the network of some calls is gone, in ms. */
const CUT_MS = [3000, 20_000] as const;
/** Time between withdrawing a forwarder and ending it, in ms: nothing is sent to it then. */
const WITHDRAWN_MS = 500;
const ADDED_MS = 3000;
/** Most time that what all say at the end takes to arrive, in ms. */
const REST_MS = 60_000;
/** An old configuration whose counters stand still for so long is used no more, in ms. */
const STILL_MS = 1500;
const MOVED_MS = 60_000;

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
  /** Told what happens as it happens. */
  readonly note?: (text: string) => void;
}

/** Something that was done, when it began (ms since 1970), and how long it took until all was there again, in ms. */
export interface Happened {
  readonly kind: string;
  readonly at: number;
  readonly tookMs: number;
}

export interface ChaosReport extends CallersReport {
  readonly happened: readonly Happened[];
  /** MiB of each program's worker before and after. */
  readonly memory: readonly { readonly name: string; readonly before: number; readonly after: number }[];
  /** From the moment that backends issue CIDs of a new configuration until no packet has one of the old: ms, each. */
  readonly movedMs: readonly number[];
}

/** A cluster of processes under calls, and what is done to it. */
export class Chaos {
  readonly #house = new House();
  readonly #options: ChaosOptions;
  readonly #callers = new Child('../chaos/callers.ts', [], { sources: true });
  readonly #networks: Relay[] = [];
  /** Forwarders that the network knows of. */
  readonly #announced: Program[] = [];
  readonly #happened: Happened[] = [];
  readonly #movedMs: number[] = [];
  #memory: { readonly name: string; readonly before: number }[] = [];

  constructor(options: ChaosOptions) {
    this.#options = options;
  }

  async open(): Promise<void> {
    const { backends, forwarders, calls, seed, frameMs, loss } = this.#options;
    const { certificatePath: certificate, keyPath: key } = this.#house.upstreamCertificate;
    const port = await this.#callers.ask<number>({ op: 'start', certificate, key });
    await this.#house.start({ backends, forwarders }, port);
    this.#announced.push(...this.#house.forwarders);
    for (let i = 0; i < Math.min(NETWORKS, calls); i++) {
      const targets = () => this.#announced;
      const target = this.#house.forwarders[0]!;
      const options = { target, targets, delayMs: DELAY_MS, lossRate: loss, seed: seed + i };
      this.#networks.push(await createRelay(options));
    }
    await this.#callers.ask({
      op: 'open',
      count: calls,
      ports: this.#networks.map((network) => network.port),
      hashes: this.#house.certificateHashes,
      seed,
      frameMs,
    });
    this.#memory = this.#programs.map(({ name, residentMiB }) => ({ name, before: residentMiB }));
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
        return this.#cut(pick(this.#networks), CUT_MS[0] + amount * (CUT_MS[1] - CUT_MS[0]));
      case 'addresses change':
        return pick(this.#networks).rebind();
      case 'interfaces gone':
        await this.#callers.ask({ op: 'lose sessions', share: 0.1 + amount / 2 });
        return;
      case 'forwarder added and taken away':
        return this.#addForwarder();
    }
  }

  async #cut(network: Relay, ms: number): Promise<void> {
    network.setLoss(1);
    await wait(ms);
    network.setLoss(this.#options.loss);
  }

  async #addForwarder(): Promise<void> {
    const forwarder = await this.#house.newForwarder();
    this.#house.forwarders.push(forwarder);
    await forwarder.start();
    this.#announced.push(forwarder);
    await wait(ADDED_MS);
    await this.#withdraw(forwarder);
    await forwarder.end('SIGTERM');
    this.#house.forwarders.splice(this.#house.forwarders.indexOf(forwarder), 1);
  }

  async #withdraw(forwarder: Program): Promise<void> {
    this.#announced.splice(this.#announced.indexOf(forwarder), 1);
    await wait(WITHDRAWN_MS);
  }

  /** Ends a program as an operator does, and starts it again: a forwarder is withdrawn before. */
  async replace(program: Program): Promise<void> {
    const isForwarder = this.#announced.includes(program);
    if (isForwarder) await this.#withdraw(program);
    await program.end('SIGTERM');
    await program.start();
    if (isForwarder) this.#announced.push(program);
  }

  /** The longest silence of each call since this was asked last, in ms. */
  silences(): Promise<number[]> {
    return this.#callers.ask<number[]>({ op: 'silences' });
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
    const old = (this.#house.cluster.quicLb as { configRotation: number }[])[0]!.configRotation;
    await this.#nextFile();
    await this.#nextFile();
    const from = performance.now();
    this.#movedMs.push((await this.#stillOf(old)) - from);
    await this.#nextFile();
  }

  async #nextFile(): Promise<void> {
    const step = advanceRotation(this.#house.cluster, () => randomBytes(16).toString('hex'));
    if (typeof step === 'string') throw new Error(step);
    await this.#house.giveCluster(step.file);
  }

  /** When forwarders counted the last packet of a rotation. */
  async #stillOf(rotation: number): Promise<number> {
    let count = -1;
    let changedAt = performance.now();
    const look = async () => {
      const texts = await Promise.all(this.#house.forwarders.map((one) => one.metrics().catch(() => '')));
      const labels = { rotation: String(rotation) };
      const now = texts.reduce(
        (sum, text) => sum + metric(text, 'parley_forwarder_rotation_packets_total', labels),
        0,
      );
      if (now !== count) changedAt = performance.now();
      count = now;
      return performance.now() - changedAt > STILL_MS;
    };
    await until(look, `packets of rotation ${rotation} to end`, MOVED_MS + STILL_MS);
    return changedAt;
  }

  /** All is well from now on; gives what became of every call. */
  async finish(): Promise<ChaosReport> {
    for (const network of this.#networks) network.setLoss(this.#options.loss);
    this.#note('all is well; what is under way arrives');
    const report = await this.#callers.ask<CallersReport>({ op: 'rest', withinMs: REST_MS });
    const memory = this.#memory.map(({ name, before }) => {
      const program = this.#programs.find((one) => one.name === name)!;
      return { name, before, after: program.residentMiB };
    });
    await this.#callers.ask({ op: 'hang up' });
    return { ...report, happened: this.#happened, memory, movedMs: this.#movedMs };
  }

  async close(): Promise<void> {
    await this.#callers.stop();
    for (const network of this.#networks) await network.close();
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
