import { SeededRandom } from '../random.ts';

/** What the caller's page does. Times in ms from when the call is ready. */
export type PageAction =
  | {
      readonly kind: 'speaks';
      readonly forMs: number;
      /** What ends the turn where the upstream does not find its end. */
      readonly ends: 'commit' | 'clear';
    }
  /** Sends an item as text, and asks for an answer to it. */
  | { readonly kind: 'writes'; readonly asks: boolean; readonly role: 'user' | 'system' | 'assistant' }
  | { readonly kind: 'changes settings' }
  | { readonly kind: 'mutes'; readonly forMs: number }
  | { readonly kind: 'wakes' };

export type CallFault =
  /** The session breaks; each side hears of it when it does, if at all. */
  | {
      readonly kind: 'session cut';
      readonly pageMs: number | undefined;
      readonly serverMs: number | undefined;
    }
  | { readonly kind: 'silence'; readonly forMs: number }
  /** The page is not heard, and hears. */
  | { readonly kind: 'page unheard'; readonly forMs: number }
  /** Dials are refused, or not answered, and the session is silent. */
  | { readonly kind: 'no network'; readonly forMs: number; readonly refuses: boolean }
  | { readonly kind: 'upstream ends'; readonly refusals: number; readonly timeLimit: boolean }
  | { readonly kind: 'upstream stalls'; readonly forMs: number }
  | { readonly kind: 'backend dies'; readonly forMs: number }
  | { readonly kind: 'backend drains'; readonly forMs: number }
  /** Another tab says hello with what the page knew then; `late` holds it back for so long. */
  | { readonly kind: 'stale tab'; readonly lateMs: number }
  /** Someone else has copied ticket and checkpoint. */
  | { readonly kind: 'thief' };

export interface Timed<T> {
  readonly atMs: number;
  readonly what: T;
}

/** All of a call that is decided before it begins. */
export interface CallsPlan {
  readonly seed: number;
  readonly backends: number;
  /** Backends have names of their own, so that the page reaches the one that has its call. */
  readonly callHost: boolean;
  readonly detectsTurns: boolean;
  readonly delayMs: number;
  readonly jitterMs: number;
  readonly upstreamDelayMs: number;
  readonly frameMs: number;
  /** Answers may be calls of tools. */
  readonly tools: boolean;
  /** The text of what was said may come behind the end of its answer; what is restored in between lacks it, which is told. */
  readonly lateTranscripts: boolean;
  readonly actions: readonly Timed<PageAction>[];
  readonly faults: readonly Timed<CallFault>[];
  /** The caller hangs up then, whatever is under way; undefined: when all is said and answered. */
  readonly hangUpAtMs: number | undefined;
  /** A second tab takes the call over at the end. */
  readonly secondTab: boolean;
  /** When everything that goes wrong has ended. */
  readonly calmAtMs: number;
}

function drawAction(random: SeededRandom, detectsTurns: boolean): PageAction {
  switch (random.integer(0, 9)) {
    case 0:
    case 1:
      return {
        kind: 'writes',
        asks: random.chance(0.6),
        role: random.pick(['user', 'user', 'system', 'assistant']),
      };
    case 2:
      return { kind: 'changes settings' };
    case 3:
      return { kind: 'mutes', forMs: random.pick([50, 400, 1200]) };
    case 4:
      return { kind: 'wakes' };
    default: {
      const forMs = random.pick([120, 300, 700, 1500]);
      return { kind: 'speaks', forMs, ends: !detectsTurns && random.chance(0.1) ? 'clear' : 'commit' };
    }
  }
}

function drawFault(random: SeededRandom, backends: number): CallFault {
  const soon = () => random.pick([0, 1, 40, 400]);
  switch (random.integer(0, 12)) {
    case 0:
    case 1:
    case 2:
      return {
        kind: 'session cut',
        pageMs: random.chance(0.15) ? undefined : soon(),
        serverMs: random.chance(0.3) ? undefined : random.pick([0, 1, 40, 400, 4000]),
      };
    case 3:
      return { kind: 'silence', forMs: random.pick([200, 1500, 2100, 2600, 4000]) };
    case 4:
      return { kind: 'no network', forMs: random.pick([300, 2000, 6000]), refuses: random.chance(0.5) };
    case 5:
    case 6:
      return {
        kind: 'upstream ends',
        refusals: random.pick([0, 0, 1, 3]),
        timeLimit: random.chance(0.3),
      };
    case 7:
      return { kind: 'upstream stalls', forMs: random.pick([100, 800, 2500]) };
    case 8:
    case 9:
      return backends > 1
        ? { kind: 'backend dies', forMs: random.pick([500, 3000, 60_000]) }
        : { kind: 'session cut', pageMs: soon(), serverMs: soon() };
    case 10:
      return backends > 1
        ? { kind: 'backend drains', forMs: random.pick([3000, 9000]) }
        : { kind: 'session cut', pageMs: soon(), serverMs: undefined };
    case 11:
      return { kind: 'stale tab', lateMs: random.pick([0, 500, 2500]) };
    default:
      return { kind: 'thief' };
  }
}

export function drawCallsPlan(seed: number): CallsPlan {
  const random = new SeededRandom(seed, 'calls');
  const backends = random.pick([1, 2, 2, 3]);
  const detectsTurns = random.chance(0.5);
  const lastMs = random.pick([3000, 6000, 10_000]);
  const actions: Timed<PageAction>[] = [];
  for (let atMs = random.integer(0, 300); atMs < lastMs; atMs += random.pick([5, 150, 700, 1600]))
    actions.push({ atMs, what: drawAction(random, detectsTurns) });
  const faults: Timed<CallFault>[] = [];
  // Most of them while something is under way that the caller did.
  const somewhen = () =>
    random.chance(0.3) ? random.between(0, lastMs) : random.pick(actions).atMs + random.between(0, 2500);
  for (let i = random.integer(1, 6); i > 0; i--)
    faults.push({ atMs: somewhen(), what: drawFault(random, backends) });
  // Several at nearly one moment: that is when attachments race.
  if (random.chance(0.4)) {
    const atMs = somewhen();
    for (let i = random.integer(2, 3); i > 0; i--)
      faults.push({ atMs: atMs + random.pick([0, 0, 1, 60, 300]), what: drawFault(random, backends) });
  }
  // Numbers of their own: what else a seed plays stays as it is.
  const unheard = new SeededRandom(seed, 'page unheard');
  if (unheard.chance(0.15))
    faults.push({
      atMs: unheard.between(0, lastMs),
      what: { kind: 'page unheard', forMs: unheard.pick([1500, 4000, 8000]) },
    });
  return {
    seed,
    backends,
    callHost: random.chance(0.7),
    detectsTurns,
    delayMs: random.pick([1, 10, 40, 120]),
    jitterMs: random.pick([0, 5, 40]),
    upstreamDelayMs: random.pick([1, 10, 60]),
    frameMs: random.pick([40, 60, 100]),
    tools: random.chance(0.3),
    lateTranscripts: random.chance(0.1),
    actions,
    faults: faults.sort((a, b) => a.atMs - b.atMs),
    hangUpAtMs: random.chance(0.1) ? random.between(100, lastMs + 2000) : undefined,
    secondTab: random.chance(0.1),
    calmAtMs: lastMs + 2600,
  };
}
