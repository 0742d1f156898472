import type { Message } from '../../proto/voice/index.ts';
import {
  type AnswerCounters,
  type Call,
  type CallEnd,
  type CallError,
  type CallStats,
  connect,
  type MicrophoneNews,
  unsupported,
} from '../index.ts';
import { fetchToken, loadConfig, type PageConfig } from './config.ts';
import { DeviceChoice } from './devices.ts';
import { element, setText } from './dom.ts';
import { FaultPanel } from './faults.ts';
import { duration, loudness, ms } from './format.ts';
import { modelNews } from './model-news.ts';
import { Panel } from './panel.ts';
import { Ribbon } from './ribbon.ts';
import { Sky } from './sky/sky.ts';
import { type Entry, Timeline } from './timeline.ts';
import { answerCalls, TOOLS } from './tools.ts';
import { Transcript } from './transcript.ts';
import {
  buttonText,
  connectionText,
  OVERFLOW,
  outageText,
  overflowText,
  type PageState,
  reconnectingText,
  resumedText,
  statusText,
  uplinkText,
} from './words.ts';
import { Writing } from './writing.ts';

/** How often figures are refreshed, in ms. */
const REFRESH_MS = 250;

/** How long news of the network stands in the status line, in ms. */
const NEWS_MS = 6000;

/** The close code of a server that ends (`docs/errors.md`). */
const SHUTTING_DOWN = 14;
const SHUT_DOWN = 'The server has shut down. Your words are kept, and it is called again.';

/** The page's Content-Security-Policy allows its own files and no blobs. */
const WORKLETS = { microphone: 'worklets/microphone.js', playback: 'worklets/playback.js' };

/** The API writes the caller's words down only where it is asked to; and what the model may do on this page. */
const SESSION = {
  type: 'session.update',
  session: {
    type: 'realtime',
    tools: TOOLS,
    audio: { input: { transcription: { model: 'gpt-4o-transcribe' } } },
  },
};

/** Settings older than this are fetched again before a call, in ms: certificates of development are renewed meanwhile. */
const FRESH_MS = 60_000;

/** States in which the caller can mute, or unmute. */
const MUTABLE: ReadonlySet<PageState> = new Set(['connecting', 'waiting', 'ready', 'muted', 'reconnecting']);

const talk = element<HTMLButtonElement>('talk');
const mute = element<HTMLButtonElement>('mute');
const retry = element<HTMLButtonElement>('retry');
const microphoneMeter = element<HTMLMeterElement>('level-microphone');
const answerMeter = element<HTMLMeterElement>('level-answer');
const ribbon = new Ribbon(element<HTMLCanvasElement>('ribbon'));
const transcript = new Transcript();
const timeline = new Timeline();
const panel = new Panel();
const sky = new Sky(element<HTMLCanvasElement>('sky'), element('sky-caption'));
const sayFault = (text: string) => {
  timeline.addFault(text, text);
  showNews(text);
};
const devices = new DeviceChoice(() => call, sayFault);
const faults = new FaultPanel(
  () => call,
  () => ribbon.mark(),
);
new Writing(
  () => call,
  (text) => transcript.wrote(text),
  sayFault,
);
let call: Call | undefined;
let state: PageState = 'idle';
let microphone: MicrophoneNews = { state: 'asking', reason: undefined };
let news: string | undefined;
let outage: string | undefined;
/** The server said that it ends, and the call waits for it or for another one. */
let shutDown = false;

function show(next: PageState): void {
  state = next;
  document.body.dataset.state = next;
  showStatus();
  setText(element('connection'), connectionText(next));
  setText(element('talk-label'), buttonText(next));
  talk.disabled = next === 'ending' || next === 'unsupported';
  mute.disabled = !MUTABLE.has(next);
  retry.hidden = next !== 'reconnecting';
}

/** The line and the microphone in one: only a live microphone is listened to. */
function showCall(current: Call): void {
  if (current.state === 'ended') return;
  if (current.state !== 'ready') show(current.state);
  else if (current.muted) show('muted');
  else show(microphone.state === 'live' ? 'ready' : 'waiting');
}

/** A line that is gone stands above news, and news above the usual sentence. */
function showStatus(): void {
  const keptMs = call?.stats.microphone.keptMs ?? 0;
  const gone = state === 'reconnecting' ? reconnectingText(keptMs, shutDown) : outage;
  setText(element('status'), gone ?? news ?? statusText(state, microphone));
  document.body.toggleAttribute('data-outage', gone !== undefined);
}

function showNews(text: string): void {
  news = text;
  showStatus();
  setTimeout(() => {
    if (news !== text) return;
    news = undefined;
    showStatus();
  }, NEWS_MS);
}

function showFault(error: { readonly message: string; readonly advice: string } | undefined): void {
  element('fault').hidden = error === undefined;
  setText(element('fault-message'), error?.message ?? '');
  setText(element('fault-advice'), error?.advice ?? '');
  if (error !== undefined) element('fault').scrollIntoView({ block: 'nearest' });
}

async function beginCall(): Promise<void> {
  microphone = { state: 'asking', reason: undefined };
  news = undefined;
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
    endCall({ error: error as CallError, undeliveredMs: 0 });
    return;
  }
  const { url, certificateHashes, tcpUrl, tokenUrl, codec, codecCalmMs } = config;
  call = connect({
    url,
    worklets: WORKLETS,
    ...devices.constraint,
    ...(certificateHashes && { certificateHashes }),
    ...(codec && { codec }),
    ...(codecCalmMs !== undefined && { codecCalmMs }),
    ...(tcpUrl !== undefined && { tcpUrl }),
    ...(tokenUrl !== undefined && { token: () => fetchToken(tokenUrl) }),
  });
  ribbon.start();
  sky.drift(true);
  faults.begin();
  listen(call);
}

function listen(current: Call): void {
  current.on('state', () => showCall(current));
  current.on('microphone', (changed) => {
    if (changed.state === 'live' && microphone.state === 'asking') devices.begin(current);
    microphone = changed;
    showCall(current);
  });
  current.on('ready', (ready) => {
    current.send(SESSION);
    panel.upstream(ready.upstream);
    timeline.add('good', `Connected to ${ready.backend} in ${ms(current.stats.readyMs)}.`);
  });
  current.on('event', (event) => {
    transcript.take(event);
    showModelNews(event);
    for (const line of answerCalls(event, sky, (answer) => current.send(answer))) timeline.add('plain', line);
  });
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
    showCall(current);
  });
  current.on('speakingWhileMuted', () => showNews('You are muted, and you speak. Press Unmute to be heard.'));
  current.on('cleared', (positions) => {
    for (const { itemId, playedMs } of positions) transcript.interrupted(itemId, playedMs);
  });
  listenToNetwork(current);
  current.on('ended', endCall);
}

function showModelNews(event: Message): void {
  const said = modelNews(event);
  if (said === undefined) return;
  if (said.tone === 'bad') {
    sayFault(said.text);
    if (event.type === 'response.done') transcript.remark(event, said.text);
  } else timeline.add(said.tone, said.text);
}

function listenToNetwork(current: Call): void {
  const changed = (text: string) => {
    timeline.add('change', text);
    ribbon.mark();
    showNews(text);
  };
  current.on('pathChanged', () => changed('Your address changed, and the call went on.'));
  current.on('forwarderChanged', () => changed('Another forwarder carries the call, which went on.'));
  current.on('draining', () =>
    changed('The server will end soon. The call then goes on at another one, if there is one.'),
  );
  let resumptions: number | undefined;
  current.on('state', (next) => {
    // No other session took the call over: the old one came to life.
    if (next === 'ready' && resumptions === current.stats.resumptions)
      timeline.add('good', 'The connection answers again, and nothing was lost.');
    resumptions = undefined;
    if (next !== 'reconnecting') return;
    resumptions = current.stats.resumptions;
    outage = undefined;
    ribbon.mark();
  });
  let lost = false;
  current.on('reconnecting', ({ error }) => {
    const says = error?.closeCode === SHUTTING_DOWN;
    const news = says && !shutDown;
    // What a server said of itself holds until there is one again, whatever a later dial fails by.
    shutDown ||= says;
    if (!lost || news)
      timeline.add('change', shutDown ? SHUT_DOWN : 'The connection is gone. Your words are kept.');
    lost = true;
    showStatus();
  });
  current.on('state', (next) => {
    if (next === 'reconnecting') return;
    lost = false;
    shutDown = false;
  });
  current.on('resumed', (resumed) => {
    timeline.add('good', resumedText(resumed));
    faults.resumed(resumed.outageMs);
    ribbon.mark();
    showNews(resumedText(resumed));
  });
  current.on('microphoneOverflow', (overflow) => timeline.addFault(overflowText(overflow), OVERFLOW));
  current.on('outage', ({ silentMs, over }) => {
    if (over) timeline.add('good', `The server answers again after ${duration(silentMs)}. Nothing was lost.`);
    else if (outage === undefined) timeline.add('change', outageText(silentMs));
    outage = over ? undefined : outageText(silentMs);
    showStatus();
  });
  current.on('behind', ({ bufferedMs }) => {
    if (bufferedMs === 0) timeline.add('good', 'The speech model has caught up.');
    else timeline.add('change', `The speech model is ${duration(bufferedMs)} behind. Nothing is lost.`);
  });
  let limited = false;
  current.on('uplink', (uplink) => {
    if (uplink.limited === limited) return;
    limited = uplink.limited;
    timeline.add(limited ? 'change' : 'good', uplinkText(limited));
    if (limited) showNews(uplinkText(limited));
  });
  current.on('serverError', ({ message }) => timeline.addFault(message, message));
}

function endCall({ error, undeliveredMs }: CallEnd): void {
  outage = undefined;
  news = undefined;
  setMuteLabel(false);
  ribbon.stop();
  sky.drift(false);
  faults.show();
  showLevel(microphoneMeter, 0);
  showLevel(answerMeter, 0);
  talk.style.removeProperty('--level');
  if (call?.stats.readyMs !== undefined) panel.show(call.stats);
  else panel.clear();
  const fault = error ?? undelivered(undeliveredMs);
  show(error === undefined ? 'idle' : 'error');
  showFault(fault);
  // The message stands below the button: once is enough.
  if (fault !== undefined) timeline.removeFaultsOf(fault.message);
  if (error !== undefined) timeline.add('bad', 'The call failed.');
  else timeline.add('plain', 'The call ended.');
  // A certificate that was renewed meanwhile is the usual reason for a failure that calling again mends.
  prepare();
}

/** What was said and did not arrive although the call was hung up in an orderly way. */
function undelivered(undeliveredMs: number): { message: string; advice: string } | undefined {
  if (undeliveredMs === 0 || call?.stats.readyMs === undefined) return undefined;
  return {
    message: `The last ${duration(undeliveredMs)} of what you said did not reach the server.`,
    advice: 'The network let nothing through. Call again, and say it once more.',
  };
}

function prepare(): void {
  configAt = performance.now();
  configReady = loadConfig();
  configReady.then(
    ({ faults: offered = [] }) => faults.offer(offered),
    () => undefined,
  );
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
retry.addEventListener('click', () => call?.reconnect());
mute.addEventListener('click', () => {
  if (call?.muted) call.unmute();
  else call?.mute();
});
setInterval(() => {
  if (call === undefined || state === 'idle' || state === 'error') return;
  panel.show(call.stats);
  if (state === 'reconnecting') showStatus();
}, REFRESH_MS);

let configAt = 0;
let configReady: Promise<PageConfig>;
prepare();

/** For tests and developers: the call and its counters, which stay readable after it ended. */
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
