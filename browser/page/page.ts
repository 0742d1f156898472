import {
  type AnswerCounters,
  type Call,
  type CallEnd,
  CallError,
  type CallStats,
  connect,
  unsupported,
} from '../index.ts';
import { element, setText } from './dom.ts';
import { duration, loudness, ms } from './format.ts';
import { Panel } from './panel.ts';
import { Ribbon } from './ribbon.ts';
import { type Entry, Timeline } from './timeline.ts';
import { Transcript } from './transcript.ts';

/** How often figures are refreshed, in ms. */
const REFRESH_MS = 250;

/** How long news of the network stands in the status line, in ms. */
const NEWS_MS = 6000;

/** The API writes the caller's words down only where it is asked to. */
const TRANSCRIBE = {
  type: 'session.update',
  session: { type: 'realtime', audio: { input: { transcription: { model: 'gpt-4o-transcribe' } } } },
};

/** Settings older than this are fetched again before a call, in ms: certificates of development are renewed meanwhile. */
const FRESH_MS = 60_000;

/** What the page server says in /config.json. */
interface PageConfig {
  readonly url: string;
  readonly certificateHashes?: readonly string[];
  readonly token?: string;
  readonly upstream?: string;
}

type PageState = 'idle' | 'connecting' | 'ready' | 'muted' | 'ending' | 'error' | 'unsupported';

const STATUS: Readonly<Record<PageState, string>> = {
  idle: 'Press Talk and speak.',
  connecting: 'Connecting. Speak already: your first words are kept.',
  ready: 'Listening. Speak over an answer to stop it.',
  muted: 'Muted. Nothing that you say leaves this page.',
  ending: 'Delivering your last words.',
  error: 'The call failed. What to do is said below.',
  unsupported: 'No call can be made from this browser.',
};
const CONNECTION: Readonly<Record<PageState, string>> = {
  idle: 'Not connected',
  connecting: 'Connecting',
  ready: 'In call',
  muted: 'In call, muted',
  ending: 'Hanging up',
  error: 'Not connected',
  unsupported: 'Not connected',
};
const BUTTON: Readonly<Record<PageState, string>> = {
  idle: 'Talk',
  connecting: 'Cancel',
  ready: 'Hang up',
  muted: 'Hang up',
  ending: 'Ending',
  error: 'Talk',
  unsupported: 'Talk',
};

const talk = element<HTMLButtonElement>('talk');
const mute = element<HTMLButtonElement>('mute');
const microphoneMeter = element<HTMLMeterElement>('level-microphone');
const answerMeter = element<HTMLMeterElement>('level-answer');
const ribbon = new Ribbon(element<HTMLCanvasElement>('ribbon'));
const transcript = new Transcript();
const timeline = new Timeline();
const panel = new Panel();
let call: Call | undefined;
let state: PageState = 'idle';

function show(next: PageState): void {
  state = next;
  document.body.dataset.state = next;
  setText(element('status'), STATUS[next]);
  setText(element('connection'), CONNECTION[next]);
  setText(element('talk-label'), BUTTON[next]);
  talk.disabled = next === 'ending' || next === 'unsupported';
  mute.disabled = next !== 'ready' && next !== 'muted' && next !== 'connecting';
}

function showFault(error: CallError | undefined): void {
  element('fault').hidden = error === undefined;
  setText(element('fault-message'), error?.message ?? '');
  setText(element('fault-advice'), error?.advice ?? '');
}

/** The page's settings. Fetched ahead of the first call, so that it need not wait for them. */
async function loadConfig(): Promise<PageConfig> {
  try {
    const response = await fetch('/config.json', { cache: 'no-store' });
    if (!response.ok) throw new Error(`the page server answered ${response.status}`);
    return (await response.json()) as PageConfig;
  } catch (error) {
    throw new CallError(
      'bad_options',
      'The page could not read its settings (/config.json).',
      'Check that the page server runs, then press Talk again.',
      { cause: error },
    );
  }
}

async function beginCall(): Promise<void> {
  show('connecting');
  showFault(undefined);
  transcript.clear();
  timeline.clear();
  panel.clear();
  setMuteLabel(false);
  let config: PageConfig;
  try {
    if (performance.now() - configAt > FRESH_MS) prepare();
    config = await configReady;
  } catch (error) {
    endCall({ error: error as CallError });
    return;
  }
  const { url, certificateHashes, token } = config;
  call = connect({ url, ...(certificateHashes && { certificateHashes }), ...(token && { token }) });
  ribbon.start();
  listen(call);
}

function listen(current: Call): void {
  current.on('state', (next) => {
    if (next === 'ready' && current.muted) show('muted');
    else if (next !== 'ended') show(next);
  });
  current.on('ready', (ready) => {
    current.send(TRANSCRIBE);
    panel.upstream(ready.upstream);
    timeline.add('good', `Connected to ${ready.backend} in ${ms(current.stats.readyMs)}`);
  });
  current.on('event', (event) => transcript.take(event));
  current.on('microphoneLevel', (level) => {
    ribbon.you(level);
    showLevel(microphoneMeter, level);
    talk.style.setProperty('--level', loudness(level).toFixed(3));
  });
  current.on('answerLevel', (level) => {
    ribbon.answer(level);
    showLevel(answerMeter, level);
  });
  current.on('muted', (muted) => {
    setMuteLabel(muted);
    if (state === 'ready' || state === 'muted') show(muted ? 'muted' : 'ready');
  });
  current.on('cleared', (positions) => {
    for (const { itemId, playedMs } of positions) transcript.interrupted(itemId, playedMs);
  });
  listenToNetwork(current);
  current.on('ended', endCall);
}

function listenToNetwork(current: Call): void {
  const changed = (text: string) => {
    timeline.add('change', text);
    ribbon.mark();
    setText(element('status'), text);
    setTimeout(() => {
      if (element('status').textContent === text) setText(element('status'), STATUS[state]);
    }, NEWS_MS);
  };
  current.on('pathChanged', () => changed('Your address changed — the call went on'));
  current.on('forwarderChanged', () => changed('Another forwarder carries the call — it went on'));
  current.on('draining', () =>
    changed('The server will restart soon — hang up and call again when it suits'),
  );
  current.on('behind', ({ bufferedMs }) => {
    if (bufferedMs === 0) timeline.add('good', 'The speech model caught up');
    else timeline.add('change', `The speech model is ${duration(bufferedMs)} behind; nothing is lost`);
  });
  current.on('serverError', ({ message }) => timeline.add('bad', message));
}

function endCall({ error }: CallEnd): void {
  ribbon.stop();
  showLevel(microphoneMeter, 0);
  showLevel(answerMeter, 0);
  talk.style.removeProperty('--level');
  if (call?.stats.readyMs !== undefined) panel.show(call.stats);
  else panel.clear();
  show(error === undefined ? 'idle' : 'error');
  showFault(error);
  if (error !== undefined) timeline.add('bad', error.message);
  else timeline.add('plain', 'Call ended');
  // A certificate that was renewed meanwhile is the usual reason for a failure that calling again mends.
  prepare();
}

function prepare(): void {
  configAt = performance.now();
  configReady = loadConfig();
  configReady.catch(() => undefined);
}

function showLevel(meter: HTMLMeterElement, level: number): void {
  const share = loudness(level);
  meter.value = share;
  meter.style.setProperty('--share', share.toFixed(3));
}

/** The label says what a press does; a pressed state beside it would say it twice, and the other way round. */
function setMuteLabel(muted: boolean): void {
  mute.dataset.muted = String(muted);
  setText(mute, muted ? 'Unmute' : 'Mute');
}

talk.addEventListener('click', () => {
  if (state === 'idle' || state === 'error') void beginCall();
  else void call?.hangUp();
});
mute.addEventListener('click', () => {
  if (call?.muted) call.unmute();
  else call?.mute();
});
setInterval(() => {
  if (call !== undefined && state !== 'idle' && state !== 'error') panel.show(call.stats);
}, REFRESH_MS);

let configAt = 0;
let configReady: Promise<PageConfig>;
prepare();

/** For tests and for the curious: the call and its counters, which stay readable after it ended. */
interface ParleyPage {
  readonly call: Call | undefined;
  readonly state: PageState;
  readonly microphone: { readonly samples: number; readonly hash: string } | undefined;
  readonly answers: readonly AnswerCounters[];
  readonly stats: CallStats | undefined;
  readonly timeline: readonly Entry[];
}

declare global {
  interface Window {
    readonly parley: ParleyPage;
  }
}

Object.defineProperty(window, 'parley', {
  value: {
    get call() {
      return call;
    },
    get state() {
      return state;
    },
    get microphone() {
      return call?.stats.microphone;
    },
    get answers() {
      return call?.answers ?? [];
    },
    get stats() {
      return call?.stats;
    },
    get timeline() {
      return timeline.entries;
    },
  } satisfies ParleyPage,
});
const problem = unsupported();
show(problem === undefined ? 'idle' : 'unsupported');
showFault(problem);
