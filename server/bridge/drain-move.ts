/** Longest wait for a pause in which the page is asked to take its call elsewhere, in ms. */
const MOVE_WITHIN_MS = 5000;
/** How often a pause is looked for, in ms. */
const PAUSE_POLL_MS = 100;

/** What the move of a call needs of it. */
export interface DrainMoveHost {
  /** No one speaks, and no response is under way. */
  quiet(now: number): boolean;
  over(): boolean;
  /** Asks the page, behind a fresh checkpoint. */
  move(): void;
}

/** The backend will end: in a pause of at most 5 s from now the page is asked to take the call elsewhere. Returns the way to stop. */
export function moveWhenDraining(draining: AbortSignal | undefined, host: DrainMoveHost): () => void {
  let timer: NodeJS.Timeout | undefined;
  const look = (until: number) => {
    const now = performance.now();
    if (host.over()) return;
    if (now >= until || host.quiet(now)) host.move();
    else timer = setTimeout(() => look(until), PAUSE_POLL_MS);
  };
  const begin = () => look(performance.now() + MOVE_WITHIN_MS);
  if (draining?.aborted) begin();
  else draining?.addEventListener('abort', begin, { once: true });
  return () => {
    clearTimeout(timer);
    draining?.removeEventListener('abort', begin);
  };
}
