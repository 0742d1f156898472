import type { AudioDevices } from './devices.ts';
import type { WakefulCall } from './keep-awake.ts';
import type { PushToTalkCall, PushToTalkOptions } from './push-to-talk.ts';
import type { ComfortTone, SoundingCall } from './sounds.ts';

const load = () => import('./helpers.ts');

/** Begins what a helper does as soon as the helpers are there. A load that fails is an unhandled rejection, as the page's own would be. */
function begin(start: (helpers: Awaited<ReturnType<typeof load>>) => () => void): () => void {
  let stopped = false;
  let stop = () => {};
  void load().then((helpers) => {
    stop = start(helpers);
    if (stopped) stop();
  });
  return () => {
    stopped = true;
    stop();
  };
}

/** Lists microphones and speakers. Browsers hide names, and all but one of each, until the page may use a microphone. */
export async function listDevices(): Promise<AudioDevices> {
  return (await load()).listDevices();
}

/** Calls `listener` with the devices now, and whenever one comes or goes. Returns the way to stop it. */
export function watchDevices(listener: (devices: AudioDevices) => void): () => void {
  return begin((helpers) => helpers.watchDevices(listener));
}

/**
 * Keeps the screen on while the call lasts and the page is seen, where the browser can: phones that lock themselves freeze pages.
 * Returns the way to stop it.
 */
export function keepAwake(call: WakefulCall): () => void {
  return begin((helpers) => helpers.keepAwake(call));
}

/** Lets the caller be heard only while the button is pressed. The call should begin muted. Returns the way to stop it. */
export function pushToTalk(
  call: PushToTalkCall,
  button: HTMLElement,
  options?: PushToTalkOptions,
): () => void {
  return begin((helpers) => helpers.pushToTalk(call, button, options));
}

/**
 * Plays a tone now and then while the call is reconnecting, or while a function runs, so that the caller knows that the call goes on.
 * Begin it from a click, as browsers start audio only then. Returns the way to stop it; it stops with the call.
 */
export function comfortTone(call: SoundingCall, options?: ComfortTone): () => void {
  const context = new AudioContext();
  return begin((helpers) => helpers.comfortTone(call, options, context));
}

/** Two tones each: up when the call is ready, down when it ends; one when it is muted or not any more. */
export function cueSounds(call: SoundingCall, volume?: number): () => void {
  const context = new AudioContext();
  const { state } = call;
  return begin((helpers) => helpers.cueSounds(call, volume, context, state));
}
