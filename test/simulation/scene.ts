import { PERFECT } from './conditions.ts';
import type { Plan, TimedFault } from './plan.ts';
import type { CallPlan, SendPlan, StreamPlan } from './workloads/plan.ts';
import { World } from './world.ts';

const VOICE: SendPlan = {
  octets: 96_000,
  chunkOctets: 960,
  everyMs: 20,
  resetAfter: undefined,
  stopAfter: undefined,
  slowOctets: 0,
  priority: 0,
};

/** Two seconds of PCM16 as it is spoken, and an answer of as much that is sent as fast as it goes. */
export const VOICE_CALL: readonly StreamPlan[] = [
  { opener: 'client', direction: 'unidirectional', startMs: 0, forth: VOICE, back: undefined },
  {
    opener: 'server',
    direction: 'unidirectional',
    startMs: 500,
    forth: { ...VOICE, everyMs: 0 },
    back: undefined,
  },
];

export function voiceCall(client = 0, change: Partial<CallPlan> = {}): CallPlan {
  return {
    client,
    dialAtMs: 0,
    direct: undefined,
    streams: VOICE_CALL,
    actions: [],
    closeBy: 'client',
    redials: 0,
    ...change,
  };
}

/** A quiet network with one of everything; scenes change what they are about. */
export function scenePlan(change: Partial<Plan>, faults: readonly TimedFault[] = []): Plan {
  return {
    seed: 1,
    forwarders: 1,
    backends: 2,
    algorithm: 'one pass',
    clients: [{ up: PERFECT, down: PERFECT }],
    inner: { ...PERFECT, delayMs: 0.5 },
    transport: {},
    retry: false,
    calls: [voiceCall()],
    faults,
    ...change,
  };
}

/** Plays a scene to its end; throws `Violation`. */
export function play(change: Partial<Plan>, faults: readonly TimedFault[] = []): World {
  const world = new World(scenePlan(change, faults));
  world.run();
  return world;
}
