import { CallError } from './errors.ts';
import { type LateParts, lateParts, loadLateParts } from './late-parts.ts';
import { within } from './within.ts';

/** How long a session waits for what understands its backend, in ms: less than for the backend's first word. */
const WAIT_MS = 8000;
/** How often it is asked for where it could not be loaded, in ms. */
const RELOAD_MS = 1000;

/** The late parts, without which nothing that the backend says is understood. Rejects with a `CallError` when they cannot be loaded. */
export async function neededParts(): Promise<LateParts> {
  const endsAt = performance.now() + WAIT_MS;
  for (;;) {
    const parts = lateParts() ?? (await within(endsAt - performance.now(), loadLateParts(), notLoaded));
    if (parts !== undefined) return parts;
    if (performance.now() + RELOAD_MS >= endsAt) throw notLoaded();
    await new Promise((resolve) => setTimeout(resolve, RELOAD_MS));
  }
}

function notLoaded(): CallError {
  return new CallError(
    'unreachable',
    'A part of this page that calls need could not be loaded.',
    'Check the network, reload the page, then call again.',
  );
}
