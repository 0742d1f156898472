import { NamedGroup } from '../../proto/tls/index.ts';
import { CALM_AT_MS, drawBasePlan, type Fault, type Plan, type TimedFault } from './plan.ts';
import { SeededRandom } from './random.ts';
import { planCall } from './workloads/draw.ts';
import { overWeb } from './workloads/draw-web.ts';
import type { ActionPlan, CallPlan, SendPlan, StreamPlan } from './workloads/plan.ts';

/** HTTP/3 needs a control stream each way, and a session its CONNECT stream for as long as it lasts. */
const WEB_STREAMS_BIDI = [8, 100];
const WEB_STREAMS_UNI = [4, 8, 100];

type Broaden = (plan: Plan, random: SeededRandom) => Plan;

const withFaults = (plan: Plan, faults: readonly TimedFault[]): Plan => ({
  ...plan,
  faults: [...plan.faults, ...faults],
});

/** Further calls of the same clients, later. */
function moreCalls(plan: Plan, random: SeededRandom, atMs: readonly number[]): Plan {
  const later: CallPlan[] = atMs.map((dialAtMs) => {
    const client = random.integer(0, plan.clients.length - 1);
    return { ...planCall(random, client, plan.backends), dialAtMs };
  });
  return { ...plan, calls: [...plan.calls, ...later] };
}

/** Sessions are resumed, at any backend, while the key of the tickets changes by the clock; some handshakes take two turns. */
const withTickets: Broaden = (plan, random) => {
  const { calls, ...rest } = moreCalls(plan, random, [
    random.between(500, 1500),
    random.between(1500, 3000),
    random.between(3000, 4500),
  ]);
  const groups = [undefined, undefined, [], [NamedGroup.SECP256R1]];
  return {
    ...rest,
    ticketSeconds: random.pick([2, 3, 3600]),
    calls: calls.map((call) => {
      const keyShareGroups = random.pick(groups);
      return keyShareGroups === undefined ? call : { ...call, keyShareGroups };
    }),
  };
};

/** More handshakes at a time than a backend takes without proof of address. */
const underLoad: Broaden = (plan, random) => {
  const atMs = Array.from({ length: random.integer(2, 4) }, () => random.pick([0, 1, 30]));
  return { ...moreCalls(plan, random, atMs), maxHalfOpen: random.pick([1, 1, 2]) };
};

/** Where the address is out of reach, it is not dialled either. */
const withPreferredAddress: Broaden = (plan, random) => {
  const preferred = random.pick(['reachable', 'reachable', 'unreachable'] as const);
  if (preferred === 'reachable') return { ...plan, preferred };
  return { ...plan, preferred, calls: plan.calls.map((call) => ({ ...call, direct: undefined })) };
};

/** A new configuration reaches each forwarder at a time of its own, then each backend. */
const withRollOut: Broaden = (plan, random) => {
  const forwardersAtMs = Array.from({ length: plan.forwarders }, () => random.between(1, 800));
  const known = Math.max(...forwardersAtMs);
  return {
    ...plan,
    rollOut: {
      forwardersAtMs,
      backendsAtMs: Array.from({ length: plan.backends }, () => known + random.between(0, 600)),
    },
    faults: plan.faults.filter(({ fault }) => fault.kind !== 'backend changes CIDs'),
  };
};

/** Both sides update their keys as often as they may, by themselves and by the count of packets. */
const withKeyStorm: Broaden = (plan, random) => ({
  ...plan,
  transport: { ...plan.transport, keyUpdatePackets: random.pick([2, 5, 20]) },
  calls: plan.calls.map((call) => {
    const storm = Array.from(
      { length: 40 },
      (): ActionPlan => ({
        by: random.pick(['client', 'server'] as const),
        kind: 'update keys',
        atMs: random.between(0, 1000),
      }),
    );
    return { ...call, actions: [...call.actions, ...storm] };
  }),
});

const clientOf = (plan: Plan, random: SeededRandom): number => random.integer(0, plan.clients.length - 1);
const forwarderOf = (plan: Plan, random: SeededRandom): number => random.integer(0, plan.forwarders - 1);
const backendOf = (plan: Plan, random: SeededRandom): number => random.integer(0, plan.backends - 1);

/** Up to three misfortunes at one moment, or nearly. */
const atOnce: Broaden = (plan, random) => {
  const client = clientOf(plan, random);
  const forwarder = forwarderOf(plan, random);
  const choices: readonly Fault[] = [
    { kind: 'client migrates', client },
    { kind: 'NAT rebinds', client, newHost: random.chance(0.5) },
    { kind: 'forwarder crashes', forwarder, forMs: random.pick([50, 300, 1000]) },
    { kind: 'another forwarder', client, forwarder },
    {
      kind: 'access',
      client,
      way: random.pick(['up', 'down', 'both'] as const),
      change: { cut: true },
      forMs: random.pick([50, 300, 1000, 3000]),
    },
  ];
  const atMs = random.between(30, 1500);
  const apartMs = random.pick([0, 0, 1, 30]);
  const first = random.integer(0, choices.length - 1);
  const faults = Array.from({ length: random.integer(2, 3) }, (_, nth) => ({
    atMs: atMs + nth * apartMs,
    fault: choices[(first + nth) % choices.length]!,
  }));
  return withFaults(plan, faults);
};

/** A process that gets no time for a while, then has all of it late at once. */
const standingStill: Broaden = (plan, random) => {
  const host = random.pick(['client', 'backend', 'forwarder'] as const);
  const index = { client: clientOf, backend: backendOf, forwarder: forwarderOf }[host](plan, random);
  const fault: Fault = {
    kind: 'stands still',
    host,
    index,
    forMs: random.pick([20, 300, 1400, 5000]),
    first: random.pick(['timers', 'packets'] as const),
  };
  return withFaults(plan, [{ atMs: random.between(0, 1200), fault }]);
};

const LATE_WORD: SendPlan = {
  octets: 3000,
  chunkOctets: 960,
  everyMs: 20,
  resetAfter: undefined,
  stopAfter: undefined,
  slowOctets: 0,
  priority: 0,
};

/** Nothing is said for seconds, the NAT forgets, and then somebody speaks. */
const afterSilence: Broaden = (plan, random) => {
  const late: StreamPlan = {
    opener: random.pick(['client', 'client', 'server'] as const),
    direction: 'unidirectional',
    startMs: random.between(3000, 8000),
    forth: LATE_WORD,
    back: undefined,
  };
  const client = clientOf(plan, random);
  const fault: Fault = { kind: 'NAT rebinds', client, newHost: random.chance(0.5) };
  return withFaults(
    {
      ...plan,
      calls: plan.calls.map((call) =>
        call.client !== client || call.web !== undefined
          ? call
          : { ...call, streams: [...call.streams, late] },
      ),
    },
    [{ atMs: random.between(1500, 4900), fault }],
  );
};

/** A backend is gone for so long that another tells its callers. */
const backendGone: Broaden = (plan, random) =>
  withFaults(plan, [
    {
      atMs: random.between(100, 1200),
      fault: { kind: 'backend crashes', backend: backendOf(plan, random), forMs: 3500 },
    },
  ]);

/** Large packets begin to vanish in the middle of calls, for good. */
const smallerMtu: Broaden = (plan, random) =>
  withFaults({ ...plan, transport: { ...plan.transport, datagramSize: 1200 } }, [
    {
      atMs: random.between(50, 1500),
      fault: {
        kind: 'access',
        client: clientOf(plan, random),
        way: random.pick(['up', 'down', 'both'] as const),
        change: { mtu: random.pick([1200, 1280, 1350, 1420]) },
        forMs: 2 * CALM_AT_MS,
      },
    },
  ]);

/** The server sees packets from two addresses by turns, and one of them never answers. */
const copied: Broaden = (plan, random) =>
  withFaults(plan, [
    {
      atMs: random.between(0, 1500),
      fault: {
        kind: 'copied from elsewhere',
        client: clientOf(plan, random),
        share: random.pick([0.02, 0.2, 1]),
        forMs: random.pick([50, 600, 2000]),
      },
    },
  ]);

/** What one kind of host says is not heard by the other. */
const oneWayInside: Broaden = (plan, random) =>
  withFaults(plan, [
    {
      atMs: random.between(50, 1500),
      fault: {
        kind: 'inside',
        from: random.pick(['forwarder', 'backend'] as const),
        change: random.chance(0.7) ? { cut: true } : { loss: 0.5 },
        forMs: random.pick([50, 600, 1300, 3000]),
      },
    },
  ]);

const asWeb: Broaden = (plan, random) => ({
  ...plan,
  maxSessions: random.pick([1, 3, 3]),
  calls: plan.calls.map((call) => overWeb(random, call)),
  transport: {
    ...plan.transport,
    initialMaxStreamsBidi: random.pick(WEB_STREAMS_BIDI),
    initialMaxStreamsUni: random.pick(WEB_STREAMS_UNI),
  },
});

/** What a broadened run may have more than others, with how likely it has it. */
const WAYS: readonly (readonly [number, Broaden])[] = [
  [0.2, withTickets],
  [0.1, underLoad],
  [0.15, withPreferredAddress],
  [0.15, withRollOut],
  [0.1, withKeyStorm],
  [0.2, atOnce],
  [0.15, standingStill],
  [0.08, afterSilence],
  [0.06, backendGone],
  [0.08, smallerMtu],
  [0.08, oneWayInside],
  [0.1, copied],
  // Last: it puts HTTP/3 into all calls that are planned by then.
  [0.5, asWeb],
];

/**
 * Everything about a run, from its seed. Most runs are broadened; what is drawn for that leaves the base plan as it is, so
 * that the base of a seed stays the same as ways are added.
 */
export function drawPlan(seed: number): Plan {
  let plan = drawBasePlan(seed);
  const random = new SeededRandom(seed, 'broad plan');
  if (random.chance(0.2)) return plan;
  for (const [likely, broaden] of WAYS) if (random.chance(likely)) plan = broaden(plan, random);
  return plan;
}
