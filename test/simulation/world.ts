import { type Address, type CloseReason, sameAddress } from '../../proto/quic/index.ts';
import { AmplificationChecker } from './checkers/amplification.ts';
import { CongestionChecker } from './checkers/congestion.ts';
import { checkEndings, checkUnmatchedEnding } from './checkers/endings.ts';
import { MemoryChecker } from './checkers/memory.ts';
import { ResumptionChecker } from './checkers/resumption.ts';
import { RoutingChecker } from './checkers/routing.ts';
import { makeCluster } from './cluster.ts';
import { isRough } from './conditions.ts';
import { applyFault } from './faults.ts';
import { BackendHost } from './hosts/backend.ts';
import { ClientHost } from './hosts/client.ts';
import type { EndpointHost } from './hosts/endpoint-host.ts';
import { ForwarderHost } from './hosts/forwarder.ts';
import { CLUSTER_ADDRESS, Network, type Origin } from './network.ts';
import { CALM_AT_MS, type Plan, transferMs } from './plan.ts';
import { SeededRandom } from './random.ts';
import { Schedule } from './schedule.ts';
import type { Setting } from './setting.ts';
import { Trace } from './trace.ts';
import { Violation } from './violation.ts';
import { Call } from './workloads/call.ts';
import type { CallPlan } from './workloads/plan.ts';

/** On a healthy network every call is over this long, and what its octets take, after the network has calmed down. */
const PROGRESS_MS = 60_000;
const CLOSE_CROSSING_MS = 1000;
/** After the last call: closing periods, idle timers of those whose peer is gone. */
const AFTERMATH_MS = 120_000;
/** What calls ask for whose sessions may be resumed. */
const SHARED_NAME = 'calls.simulation';
/** Steps of a run: far more than any run takes. */
const MAX_STEPS = 400_000;

/** Everything of one run: hosts, network, checkers, and the virtual clock that moves from one happening to the next. */
export class World implements Setting {
  now = 0;
  readonly seed: number;
  readonly plan: Plan;
  readonly schedule = new Schedule();
  readonly trace: Trace;
  readonly network: Network;
  readonly routing = new RoutingChecker();
  readonly amplification = new AmplificationChecker();
  readonly congestion = new CongestionChecker();
  readonly memory: MemoryChecker;
  readonly resumption: ResumptionChecker;
  /** What happened how often: shows that the seeds meet what they are for. */
  readonly met = new Map<string, number>();
  readonly clients: readonly ClientHost[];
  readonly forwarders: readonly ForwarderHost[];
  readonly backends: readonly BackendHost[];
  readonly calls: Call[] = [];
  /** What may explain how calls end. */
  readonly circumstances: { trouble: boolean; backendLost: boolean; drained: boolean; moved: boolean };
  readonly #endpoints: readonly EndpointHost[];
  #born = 0;
  #lives = 0;
  #steps = 0;
  /** Calls that are about to be dialled again. */
  #redials = 0;

  constructor(plan: Plan, readable = false) {
    this.plan = plan;
    this.seed = plan.seed;
    this.trace = new Trace(readable);
    this.memory = new MemoryChecker(plan.transport);
    this.resumption = new ResumptionChecker(plan.ticketSeconds);
    const { schedule, trace } = this;
    this.network = new Network({ seed: plan.seed, schedule, trace, clock: () => this.now });
    this.network.onClientReceives = (client, outside, origin) =>
      this.amplification.onClientReceives(client, outside, origin, this.#born);
    const cluster = makeCluster(plan.backends, plan.algorithm, new SeededRandom(plan.seed, 'cluster').octets);
    this.backends = cluster.backends.map(
      (_, index) =>
        new BackendHost(
          {
            index,
            cluster,
            transport: plan.transport,
            retry: plan.retry,
            maxSessions: plan.maxSessions,
            ticketSeconds: plan.ticketSeconds,
            maxHalfOpen: plan.maxHalfOpen,
            preferred: plan.preferred !== undefined,
          },
          this,
        ),
    );
    for (const backend of this.backends) this.network.attach(backend, [backend.public, backend.tunnel]);
    this.clients = plan.clients.map(({ up, down }, index) => {
      const client = new ClientHost(index, this, plan.transport, plan.ticketSeconds !== undefined);
      this.network.attachClient(client, up, down);
      return client;
    });
    this.network.attachForwarders([], plan.inner);
    this.forwarders = Array.from({ length: plan.forwarders }, (_, i) => {
      const { forwardersAtMs, dropAtMs = Infinity } = plan.rollOut ?? {};
      return new ForwarderHost(i, cluster, this, [forwardersAtMs?.[i] ?? 0, dropAtMs]);
    });
    for (const forwarder of this.forwarders) this.network.attach(forwarder, [forwarder.address]);
    this.network.attachForwarders(this.forwarders, plan.inner);
    this.#endpoints = [...this.clients, ...this.backends];
    const rough = isRough(plan.inner) || plan.clients.some(({ up, down }) => isRough(up) || isRough(down));
    this.circumstances = {
      trouble: rough || plan.faults.length > 0,
      backendLost: false,
      drained: false,
      moved: false,
    };
    if (isRough(plan.inner)) this.noteReach(CALM_AT_MS);
    for (const call of plan.calls) this.schedule.at(call.dialAtMs, () => this.dial(call, call.redials));
    if (plan.preferred === 'unreachable')
      for (const backend of this.backends) this.network.block(backend.public);
    plan.rollOut?.backendsAtMs.forEach((atMs, index) => {
      this.schedule.at(atMs, () => this.backends[index]!.changeConfiguration());
    });
    for (const { atMs, fault } of plan.faults) this.schedule.at(atMs, () => applyFault(this, fault));
    this.schedule.at(CALM_AT_MS, () => this.network.calm());
  }

  // What hosts ask of their setting.

  meet(what: string): void {
    this.met.set(what, (this.met.get(what) ?? 0) + 1);
  }

  origin(backendLife: number, client?: string): Origin {
    return { born: ++this.#born, backendLife, client };
  }

  newLife(): number {
    return ++this.#lives;
  }

  callOf(serverName: string, remote: Address): Call | undefined {
    if (serverName !== SHARED_NAME) return this.calls.find((call) => call.name === serverName);
    const inside = this.network.insideOf(remote);
    return this.calls.find(({ addresses }) => inside && addresses[0] && sameAddress(addresses[0], inside));
  }

  onUnmatchedEnded(backend: string, reason: CloseReason): void {
    checkUnmatchedEnding(backend, reason);
  }

  onCallEnded(call: Call): void {
    const lost = call.closedBy === undefined;
    if (!lost || call.redialsLeft === 0) return;
    this.#redials += 1;
    this.schedule.at(this.now + 1, () => {
      this.#redials -= 1;
      this.dial(call.plan, call.redialsLeft - 1);
    });
  }

  /** All backends were out of reach of forwarders until then: they may have been taken for dead. */
  noteReach(until: number): void {
    for (const { name } of this.backends) this.routing.noteTrouble(name, until);
    this.circumstances.backendLost = true;
  }

  dial(plan: CallPlan, redials: number): Call {
    const name = `call-${this.calls.length + 1}.simulation`;
    const serverName = this.plan.ticketSeconds === undefined ? name : SHARED_NAME;
    const call = new Call(name, plan, this.now, redials, serverName);
    this.calls.push(call);
    const remote = plan.direct === undefined ? CLUSTER_ADDRESS : this.backends[plan.direct]!.public;
    this.clients[plan.client]!.dial(call, remote);
    return call;
  }

  /** Runs until the condition holds (true), or until the time is over or nothing is left to happen (false). */
  runUntil(done: () => boolean, end: number): boolean {
    for (;;) {
      this.#settle();
      if (done()) return true;
      const next = this.#nextAt();
      if (next === undefined || next > end) {
        this.now = Math.max(this.now, Math.min(end, next ?? this.now));
        return false;
      }
      this.now = Math.max(this.now, next);
      if (++this.#steps > MAX_STEPS)
        throw new Violation('deadlines', `more than ${MAX_STEPS} steps: something spins`);
      for (let action = this.schedule.take(this.now); action; action = this.schedule.take(this.now)) action();
      for (const host of this.#endpoints)
        if ((host.deadline ?? Infinity) <= this.now) host.onDeadline(this.now);
    }
  }

  #settle(): void {
    for (let busy = true; busy; ) {
      busy = false;
      for (const host of this.#endpoints) if (host.settle(this.now)) busy = true;
    }
  }

  #nextAt(): number | undefined {
    let next = this.schedule.nextAt;
    for (const { deadline } of this.#endpoints) {
      if (deadline !== undefined && (next === undefined || deadline < next)) next = deadline;
    }
    return next;
  }

  /** Plays the whole plan. Throws `Violation`. */
  run(): void {
    this.runUntil(() => false, CALM_AT_MS);
    const allOver = (): boolean => this.#redials === 0 && this.calls.every((call) => call.isOver);
    const enoughMs = PROGRESS_MS + transferMs(this.plan);
    if (!this.runUntil(allOver, CALM_AT_MS + enoughMs)) {
      const open = this.calls
        .filter((call) => !call.isOver)
        .map(({ name, progress }) => `${name}: ${progress}`);
      throw new Violation(
        'progress',
        `${open.join('; ')}, ${enoughMs.toFixed(0)} ms after the network became healthy`,
      );
    }
    // The last closes are still on their way to the backends.
    this.runUntil(() => false, this.now + CLOSE_CROSSING_MS);
    for (const forwarder of this.forwarders) forwarder.crash();
    this.runUntil(() => false, this.now + AFTERMATH_MS);
    for (const backend of this.backends) backend.meetFigures();
    for (const call of this.calls) checkEndings(call, this.circumstances);
    for (const host of this.#endpoints) host.checkEmpty();
  }
}
