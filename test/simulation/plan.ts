import type { TransportConfig } from '../../proto/quic/index.ts';
import type { CidAlgorithm } from './cluster.ts';
import { type Conditions, PERFECT } from './conditions.ts';
import { SeededRandom } from './random.ts';
import { planCall } from './workloads/draw.ts';
import type { CallPlan } from './workloads/plan.ts';

/** When everything that goes wrong has ended. Milliseconds from the start of a run. */
export const CALM_AT_MS = 5000;

export type Fault =
  | { readonly kind: 'NAT rebinds'; readonly client: number; readonly newHost: boolean }
  | { readonly kind: 'another forwarder'; readonly client: number; readonly forwarder: number }
  | { readonly kind: 'forwarder crashes'; readonly forwarder: number; readonly forMs: number }
  | { readonly kind: 'backend crashes'; readonly backend: number; readonly forMs: number }
  | { readonly kind: 'backend drains'; readonly backend: number; readonly forMs: number }
  | { readonly kind: 'backend changes CIDs'; readonly backend: number }
  | { readonly kind: 'client crashes'; readonly client: number }
  | { readonly kind: 'client migrates'; readonly client: number }
  /** An attacker on the way copies a share of a client's packets and is faster, from another address (RFC 9000 §9.3.3). */
  | {
      readonly kind: 'copied from elsewhere';
      readonly client: number;
      readonly share: number;
      readonly forMs: number;
    }
  /** The process gets no time, as when the machine is suspended: packets wait, and timers are served late, all at once. */
  | {
      readonly kind: 'stands still';
      readonly host: 'client' | 'backend' | 'forwarder';
      readonly index: number;
      readonly forMs: number;
      /** What it does first when it goes on. */
      readonly first: 'timers' | 'packets';
    }
  /** The access link of a client changes for a while: `way` says which directions. */
  | {
      readonly kind: 'access';
      readonly client: number;
      readonly way: 'up' | 'down' | 'both';
      readonly change: Partial<Conditions>;
      readonly forMs: number;
    }
  /** What forwarders and backends send to each other; `from` says where only one direction is meant. */
  | {
      readonly kind: 'inside';
      readonly change: Partial<Conditions>;
      readonly forMs: number;
      readonly from?: 'forwarder' | 'backend';
    };

export interface TimedFault {
  readonly atMs: number;
  readonly fault: Fault;
}

/** A new QUIC-LB configuration comes into use while calls run. */
export interface RollOut {
  /** When each forwarder takes it up. */
  readonly forwardersAtMs: readonly number[];
  /** When each backend begins to issue by it: not before the last forwarder knows it. */
  readonly backendsAtMs: readonly number[];
  /** When the forwarders let go of the old one: not before every CID of it is retired. */
  readonly dropAtMs?: number;
}

/** All of a run that is decided before it begins. */
export interface Plan {
  readonly seed: number;
  readonly forwarders: number;
  readonly backends: number;
  readonly algorithm: CidAlgorithm;
  readonly clients: readonly { readonly up: Conditions; readonly down: Conditions }[];
  readonly inner: Conditions;
  readonly transport: Partial<TransportConfig>;
  readonly retry: boolean;
  /** Calls carry HTTP/3, and backends allow so many sessions of WebTransport at a time. Absent: streams of QUIC itself. */
  readonly maxSessions?: number;
  /** Backends give tickets that are good for so long. Absent: none. */
  readonly ticketSeconds?: number;
  /** Handshakes at a time beyond which a backend asks for Retry. */
  readonly maxHalfOpen?: number;
  /** Backends ask their clients to move to their public address, which may not be in reach. */
  readonly preferred?: 'reachable' | 'unreachable';
  readonly rollOut?: RollOut;
  readonly calls: readonly CallPlan[];
  readonly faults: readonly TimedFault[];
}

function octetsOf({ streams, web }: CallPlan): number {
  const all = [...streams, ...(web?.sessions.flatMap((session) => session.streams) ?? [])];
  const ofStreams = all.reduce((sum, { forth, back }) => sum + forth.octets + (back?.octets ?? 0), 0);
  const requests = web?.requests ?? [];
  return requests.reduce((sum, { bodyOctets, answerOctets }) => sum + bodyOctets + answerOctets, ofStreams);
}

/** Time that the narrowest link would take for twice what all calls say, redials included; 0 where no link is narrow. */
export function transferMs({ calls, clients }: Plan): number {
  const rates = clients.flatMap(({ up, down }) => [up.rate, down.rate]).filter((rate) => rate > 0);
  if (rates.length === 0) return 0;
  const octets = calls.reduce((sum, call) => sum + octetsOf(call) * (1 + call.redials), 0);
  return (2 * octets) / Math.min(...rates);
}

type Weather = 'clear' | 'mobile' | 'foul' | 'narrow';

function drawConditions(random: SeededRandom, weather: Weather): Conditions {
  const delayMs = random.pick([0.2, 2, 10, 25, 40, 120]);
  if (weather === 'clear') return { ...PERFECT, delayMs };
  const jitterMs = random.chance(0.5) ? random.between(0, delayMs) : 0;
  if (weather === 'narrow') {
    const rate = random.pick([6, 12, 60, 250]);
    return {
      ...PERFECT,
      delayMs,
      jitterMs: 0,
      rate,
      queueOctets: Math.max(3000, rate * random.pick([20, 60, 300])),
    };
  }
  const foul = weather === 'foul';
  return {
    ...PERFECT,
    delayMs,
    jitterMs,
    loss: random.pick(foul ? [0.05, 0.1, 0.2] : [0, 0.01, 0.05]),
    duplicate: random.pick(foul ? [0, 0.05, 0.2] : [0, 0.01]),
    reorder: random.pick(foul ? [0, 0.05, 0.2] : [0, 0.01]),
    corrupt: random.pick(foul ? [0, 0.02, 0.1] : [0, 0.001]),
    truncate: random.pick(foul ? [0, 0.02] : [0]),
  };
}

function drawTransport(random: SeededRandom): Partial<TransportConfig> {
  const small = random.chance(0.3);
  return {
    maxIdleTimeoutMs: random.pick([10_000, 30_000]),
    ...(small && {
      initialMaxData: random.pick([4096, 20_000, 65_536]),
      initialMaxStreamData: random.pick([2048, 10_000, 40_000]),
    }),
    initialMaxStreamsBidi: random.pick([1, 4, 100]),
    initialMaxStreamsUni: random.pick([1, 4, 100]),
    activeConnectionIdLimit: random.pick([2, 4, 8]),
    maxAckDelayMs: random.pick([0, 25, 25, 100]),
    keepAliveIntervalMs: random.pick([0, 0, 1000]),
    keyUpdatePackets: random.pick([20, 100, 2 ** 22]),
    datagramSize: random.pick([1200, 1200, 1252, 1452]),
  };
}

function drawFault(random: SeededRandom, plan: Pick<Plan, 'forwarders' | 'backends' | 'clients'>): Fault {
  const client = random.integer(0, plan.clients.length - 1);
  const backend = random.integer(0, plan.backends - 1);
  const forwarder = random.integer(0, plan.forwarders - 1);
  const forMs = random.pick([50, 300, 1000, 2500]);
  const way = random.pick(['up', 'down', 'both'] as const);
  switch (random.integer(0, 11)) {
    case 0:
    case 1:
      return { kind: 'NAT rebinds', client, newHost: random.chance(0.5) };
    case 2:
    case 3:
      return { kind: 'another forwarder', client, forwarder };
    case 4:
      return { kind: 'forwarder crashes', forwarder, forMs };
    case 5:
      return { kind: 'backend crashes', backend, forMs };
    case 6:
      return { kind: 'backend drains', backend, forMs: 2000 };
    case 7:
      return { kind: 'backend changes CIDs', backend };
    case 8:
      return { kind: 'access', client, way, change: { cut: true }, forMs };
    case 9:
      return { kind: 'access', client, way, change: { mtu: random.pick([600, 1100]) }, forMs };
    case 10:
      return { kind: 'access', client, way, change: { loss: random.pick([0.3, 0.6]) }, forMs };
    default:
      return random.chance(0.3)
        ? { kind: 'client crashes', client }
        : { kind: 'inside', change: random.chance(0.5) ? { cut: true } : { loss: 0.2 }, forMs };
  }
}

/** Calls of QUIC itself over a hostile network, from the seed: what `drawPlan` begins with. */
export function drawBasePlan(seed: number): Plan {
  const random = new SeededRandom(seed, 'plan');
  const weather = random.pick<Weather>(['clear', 'mobile', 'mobile', 'foul', 'narrow']);
  const clients = Array.from({ length: random.pick([1, 1, 2]) }, () => ({
    up: drawConditions(random, weather),
    down: drawConditions(random, weather),
  }));
  const shape = {
    forwarders: random.pick([1, 2, 2]),
    backends: random.pick([1, 2, 3]),
    clients,
  };
  const calls: CallPlan[] = clients.map((_, client) => planCall(random, client, shape.backends));
  const faults: TimedFault[] = [];
  if (random.chance(0.75)) {
    for (let i = random.integer(1, 3); i > 0; i--) {
      // Most of what can go wrong does so while calls are young: that is when most is under way.
      const atMs = random.chance(0.3) ? random.between(0, 150) : random.between(0, 2000);
      faults.push({ atMs, fault: drawFault(random, shape) });
    }
  }
  const innerRough = random.chance(0.2);
  return {
    seed,
    ...shape,
    algorithm: random.pick<CidAlgorithm>(['plaintext', 'four passes', 'one pass']),
    inner: {
      ...PERFECT,
      delayMs: random.pick([0.1, 1, 5]),
      ...(innerRough && { loss: 0.01, reorder: 0.02 }),
    },
    // By the seed's parity and not by a draw, which would make other plans of all seeds.
    transport: { ...drawTransport(random), congestionControl: seed % 2 === 0 ? 'bbr' : 'cubic' },
    retry: random.chance(0.15),
    calls,
    faults,
  };
}
