import { within } from './within.ts';

/** How long hanging up waits without any sign that more of the microphone's audio has left or arrived, in ms. */
const STALLED_MS = 5000;

/** What hanging up looks at. */
export interface Delivery {
  readonly samples: number;
  readonly receivedSamples: number;
  /** Events that the backend has not acknowledged. */
  readonly pendingEvents: number;
  progress(): Promise<void>;
}

/**
 * Waits until the backend has acknowledged the last sample and the last event, however long that takes, as long as there is progress. True
 * when all was delivered; false when nothing moved for `stalledMs`, or `over` (the connection is gone) comes first.
 */
export async function delivered(
  uplink: Delivery,
  over: Promise<unknown>,
  stalledMs: number = STALLED_MS,
): Promise<boolean> {
  let gone = false;
  const ended = over.then(
    () => {
      gone = true;
    },
    () => {
      gone = true;
    },
  );
  const missing = () => uplink.receivedSamples < uplink.samples || uplink.pendingEvents > 0;
  while (missing()) {
    try {
      await within(stalledMs, Promise.race([uplink.progress(), ended]), () => new Error('nothing moves'));
    } catch {
      return false;
    }
    if (gone) return !missing();
  }
  return true;
}
