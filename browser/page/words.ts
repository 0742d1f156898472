import type { MicrophoneNews, MicrophoneOverflow, Resumed } from '../index.ts';
import { duration } from './format.ts';

/** How the page stands; `waiting` is a call whose line is ready and whose caller cannot be heard. */
export type PageState =
  | 'idle'
  | 'connecting'
  | 'waiting'
  | 'ready'
  | 'muted'
  | 'reconnecting'
  | 'ending'
  | 'error'
  | 'unsupported';

const STATUS: Readonly<Record<PageState, string>> = {
  idle: 'Press Talk and speak.',
  connecting: 'Connecting. You can speak already: your first words are kept.',
  waiting: 'Waiting for the microphone. Allow it if the browser asks.',
  ready: 'Listening. Speak over an answer to stop it.',
  muted: 'Muted. Nothing that you say leaves this page.',
  reconnecting: 'The connection is gone. Reconnecting: speak on, your words are kept.',
  ending: 'Sending the rest of what you said.',
  error: 'The call failed. What you can do is written below.',
  unsupported: 'This browser cannot make a call.',
};
const CONNECTION: Readonly<Record<PageState, string>> = {
  idle: 'Not connected',
  connecting: 'Connecting',
  waiting: 'In call, no microphone',
  ready: 'In call',
  muted: 'In call, muted',
  reconnecting: 'Reconnecting',
  ending: 'Hanging up',
  error: 'Not connected',
  unsupported: 'Not connected',
};
const BUTTON: Readonly<Record<PageState, string>> = {
  idle: 'Talk',
  connecting: 'Cancel',
  waiting: 'Hang up',
  ready: 'Hang up',
  muted: 'Hang up',
  reconnecting: 'Hang up',
  ending: 'Ending',
  error: 'Talk',
  unsupported: 'Talk',
};

/** What the system may do to a microphone, and what helps. */
function silentMicrophone({ state, reason }: MicrophoneNews): string | undefined {
  if (reason === 'audio_suspended') return 'The browser has paused the sound. Click anywhere on this page.';
  if (state === 'muted-by-system') return 'Your system has muted the microphone. Unmute it to be heard.';
  if (state === 'ended') return 'The microphone is gone. Plug one in, and the call goes on.';
  return undefined;
}

/** The sentence under the headline. */
export function statusText(state: PageState, microphone: MicrophoneNews): string {
  const calling = state === 'connecting' || state === 'waiting';
  if (!calling) return STATUS[state];
  const silent = silentMicrophone(microphone);
  if (silent !== undefined) return silent;
  if (state === 'connecting' && microphone.state === 'asking') return `Connecting. ${STATUS.waiting}`;
  return state === 'connecting' && microphone.state === 'muted'
    ? 'Connecting. You are muted.'
    : STATUS[state];
}

/**
 * The sentence while there is no connection; `shutDown`: the server said that it ends. The figure changes seldom, as screen readers read each
 * change aloud.
 */
export function reconnectingText(keptMs: number, shutDown: boolean): string {
  const seconds = Math.floor(keptMs / 5000) * 5;
  const kept = seconds === 0 ? 'Your words are kept' : `${seconds} s of your words are kept`;
  if (shutDown) return `The server has shut down. ${kept}, and it is called again every few seconds.`;
  if (seconds === 0) return STATUS.reconnecting;
  return `The connection is gone. Reconnecting: ${kept}.`;
}

/** What happened when the call goes on: how, over what, and after how long. */
export function resumedText({ how, carrier, outageMs, omittedItems }: Resumed): string {
  const over = carrier === 'tcp' ? ' over TCP' : '';
  const after = `Back${over} after ${duration(outageMs)}`;
  if (how === 'attached') return `${after}. The call goes on where it stopped, and nothing was lost.`;
  const turns = omittedItems === 1 ? 'One turn' : `${omittedItems} turns`;
  const omitted = omittedItems === 0 ? '' : ` ${turns} could not be told.`;
  return `${after}. The speech model was told again what was said so far.${omitted}`;
}

/** How `overflowText` begins: it stands in the timeline once, whatever its figures. */
export const OVERFLOW = 'Without a network only the last';

export function overflowText({ keptMs, lostMs }: MicrophoneOverflow): string {
  return `${OVERFLOW} ${duration(keptMs)} can be kept: ${duration(lostMs)} of your words are lost.`;
}

export const connectionText = (state: PageState): string => CONNECTION[state];
export const buttonText = (state: PageState): string => BUTTON[state];

/** An outage in words; the figure changes seldom, as screen readers read each change aloud. */
export function outageText(silentMs: number): string {
  const seconds = silentMs < 5000 ? 3 : Math.floor(silentMs / 5000) * 5;
  return `No sign from the server for ${seconds} s. Your words are kept.`;
}

/** What the network makes of the caller's words. */
export function uplinkText(limited: boolean): string {
  return limited
    ? 'Uncompressed speech gets through too slowly, so your words are compressed. None is lost.'
    : 'Uncompressed speech gets through again.';
}
