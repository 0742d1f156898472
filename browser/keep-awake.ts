import type { CallState } from './call-types.ts';

/** What is used of a call. */
export interface WakefulCall {
  readonly state: CallState;
  on(name: 'state', listener: (state: CallState) => void): () => void;
}

/** What browsers give; the types of the language do not know it in each. */
interface WakeLock {
  request(type: 'screen'): Promise<{ release(): Promise<void> }>;
}

/**
 * Keeps the screen on while the call lasts and the page is seen, where the browser can: phones that lock themselves freeze pages.
 * Returns the way to stop it. Never throws.
 */
export function keepAwake(call: WakefulCall): () => void {
  const { wakeLock } = navigator as { wakeLock?: WakeLock };
  let lock: Promise<{ release(): Promise<void> } | undefined> | undefined;
  let stopped = false;
  const release = () => {
    void lock?.then((held) => held?.release()).catch(() => undefined);
    lock = undefined;
  };
  // The browser takes a lock back when the page is hidden.
  const look = () => {
    if (stopped || call.state === 'ended') release();
    else if (document.visibilityState !== 'hidden') {
      release();
      lock = wakeLock?.request('screen').catch(() => undefined);
    }
  };
  document.addEventListener('visibilitychange', look);
  const stopListening = call.on('state', (state) => {
    if (state === 'ended') stop();
  });
  const stop = () => {
    stopped = true;
    document.removeEventListener('visibilitychange', look);
    stopListening();
    release();
  };
  look();
  return stop;
}
