import { setFlagsFromString } from 'node:v8';

/** How much the old generation may grow before V8 collects it, as a share of what lived after the last time. */
const GROWTH_PERCENT = 100;

/**
 * Lets a backend's heap double before all of it is collected. By itself V8 chooses how far by how fast JavaScript objects grow old, of which calls
 * make few, but reckons audio that waits for a page's acknowledgement against it: a hundred calls were collected as a whole
 * every second, for a tenth of all CPU. For a process that is a backend and nothing else; one that embeds a backend may be started with
 * `--heap-growing-percent`. `--max-old-space-size` holds as before.
 */
export function letHeapGrow(): void {
  if (!process.execArgv.some((flag) => flag.startsWith('--heap-growing-percent')))
    setFlagsFromString(`--heap-growing-percent=${GROWTH_PERCENT}`);
}
