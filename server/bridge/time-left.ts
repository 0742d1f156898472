/** How long before the end a call is told of it, in ms. */
const NEAR_MS = 60_000;
/** Longest wait between two looks, in ms: what is left may shrink faster than the clock, or be more on a new day. */
const LOOK_MS = 5000;

/** What is to be done when time runs out. */
export interface TimeLeftHost {
  /** A minute or less is left: said once, and again when it was more in between. */
  near(leftMs: number): void;
  /** Nothing is left. */
  over(): void;
}

/** Watches the time that a call may go on; `leftMs` is undefined when there is no limit. Returns the way to stop. */
export function watchTimeLeft(leftMs: () => number | undefined, host: TimeLeftHost): () => void {
  let timer: NodeJS.Timeout | undefined;
  let told = false;
  const look = () => {
    const left = leftMs();
    if (left === undefined) return;
    if (left <= 0) return host.over();
    if (left > NEAR_MS) told = false;
    else if (!told) {
      told = true;
      host.near(left);
    }
    const next = left > NEAR_MS ? left - NEAR_MS : left;
    timer = setTimeout(look, Math.min(Math.ceil(next), LOOK_MS));
  };
  look();
  return () => clearTimeout(timer);
}
