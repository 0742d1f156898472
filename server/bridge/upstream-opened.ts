import type { Upstream } from '../realtime/index.ts';

/** Longest wait, in ms: the page waits no longer than ten seconds, and what cannot be reached is dialled again by the call. */
const MAX_WAIT_MS = 4000;

/** Fulfils when the upstream is open, or will not be soon; never rejects. */
export function upstreamOpened(upstream: Upstream): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, MAX_WAIT_MS);
    const done = () => {
      clearTimeout(timer);
      resolve();
    };
    upstream.onOpen(done);
    upstream.onClose(done);
  });
}
