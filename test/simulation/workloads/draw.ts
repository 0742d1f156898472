import type { Role } from '../checkers/streams.ts';
import type { SeededRandom } from '../random.ts';
import type { ActionKind, ActionPlan, CallPlan, SendPlan, StreamPlan } from './plan.ts';

const PLAIN: SendPlan = {
  octets: 0,
  chunkOctets: 1200,
  everyMs: 0,
  resetAfter: undefined,
  stopAfter: undefined,
  slowOctets: 0,
  priority: 0,
};

/** 20 ms of PCM16 at 24 kHz. */
const VOICE_OCTETS = 960;
const VOICE_MS = 20;

function voice(random: SeededRandom): SendPlan {
  const octets = VOICE_OCTETS * random.integer(5, 40);
  return { ...PLAIN, octets, chunkOctets: VOICE_OCTETS, everyMs: VOICE_MS };
}

function bulk(random: SeededRandom): SendPlan {
  const octets = random.pick([5000, 20_000, 60_000]);
  const slowOctets = random.chance(0.2) ? random.pick([300, 2000]) * Math.ceil(octets / 20_000) : 0;
  return { ...PLAIN, octets, chunkOctets: random.pick([100, 1200, 16_384]), slowOctets };
}

function small(random: SeededRandom): SendPlan {
  const octets = random.pick([0, 1, 20, 300]);
  return { ...PLAIN, octets, chunkOctets: 1200 };
}

/** Cut short by its writer or its reader, at a random moment. */
function cutShort(random: SeededRandom, plan: SendPlan): SendPlan {
  const after = random.integer(0, plan.octets);
  return random.chance(0.5) ? { ...plan, resetAfter: after } : { ...plan, stopAfter: after };
}

function sendPlan(random: SeededRandom, make: (random: SeededRandom) => SendPlan, cut: number): SendPlan {
  const plan = make(random);
  const shortened = random.chance(cut) ? cutShort(random, plan) : plan;
  return { ...shortened, priority: random.pick([0, 0, 0, 1, -1]) };
}

function stream(
  random: SeededRandom,
  make: (random: SeededRandom) => SendPlan,
  cut: number,
  opener: Role,
): StreamPlan {
  const bidirectional = random.chance(0.3);
  return {
    opener,
    direction: bidirectional ? 'bidirectional' : 'unidirectional',
    startMs: random.pick([0, 0, 1, 50, 300, 1000]),
    forth: sendPlan(random, make, cut),
    back: bidirectional ? sendPlan(random, random.chance(0.5) ? make : small, cut) : undefined,
  };
}

export function drawStreams(random: SeededRandom): StreamPlan[] {
  const streams: StreamPlan[] = [];
  const both: readonly Role[] = ['client', 'server'];
  if (random.chance(0.6)) for (const opener of both) streams.push(stream(random, voice, 0.15, opener));
  if (random.chance(0.5)) streams.push(stream(random, bulk, 0.15, random.pick(both)));
  if (random.chance(0.4)) {
    const opener = random.pick(both);
    for (let i = random.integer(2, 20); i > 0; i--) streams.push(stream(random, small, 0.1, opener));
  }
  if (random.chance(0.3)) {
    for (let i = random.integer(1, 6); i > 0; i--) {
      streams.push(stream(random, random.chance(0.5) ? voice : bulk, 1, random.pick(both)));
    }
  }
  return streams;
}

function drawActions(random: SeededRandom): ActionPlan[] {
  const kinds: readonly ActionKind[] = ['update keys', 'rotate CIDs', 'ping', 'datagrams', 'migrate'];
  const actions: ActionPlan[] = [];
  for (const kind of kinds) {
    if (!random.chance(0.35)) continue;
    for (let i = random.integer(1, 3); i > 0; i--) {
      const by = kind === 'migrate' ? 'client' : random.pick(['client', 'server'] as const);
      actions.push({ by, kind, atMs: random.between(0, 1200) });
    }
  }
  return actions;
}

/** One call of a client, from the seed. */
export function planCall(random: SeededRandom, client: number, backends: number): CallPlan {
  return {
    client,
    dialAtMs: random.pick([0, 0, 30, 600]),
    direct: random.chance(0.15) ? random.integer(0, backends - 1) : undefined,
    streams: drawStreams(random),
    actions: drawActions(random),
    closeBy: random.pick(['client', 'client', 'server'] as const),
    redials: random.integer(0, 1),
  };
}
