import type { Message } from '../proto/voice/index.ts';
import type { CallState } from './call-types.ts';

/** What is used of a call. */
export interface SoundingCall {
  readonly state: CallState;
  on(name: 'state', listener: (state: CallState) => void): () => void;
  on(name: 'event', listener: (event: Message) => void): () => void;
  on(name: 'muted', listener: (muted: boolean) => void): () => void;
}

/** A tone that says that something is being done. */
export interface ComfortTone {
  /** When it sounds: while the page dials again, while a function that the model called runs. Default both. */
  readonly during?: readonly ('reconnecting' | 'tool')[];
  /** How loud, 0 to 1. Default 0.04. */
  readonly volume?: number;
  /** Pitch in Hz. Default 440. */
  readonly hz?: number;
  /** From one tone to the next, in ms. Default 2000. */
  readonly everyMs?: number;
}

/** How long something takes before the first tone, in ms: most of it is over by then. */
const DELAY_MS = 800;
const TONE_S = 0.18;
const RAMP_S = 0.03;

/** Plays one soft tone. */
function play(context: AudioContext, hz: number, volume: number, atS = context.currentTime): void {
  const tone = new OscillatorNode(context, { frequency: hz });
  const gain = new GainNode(context, { gain: 0 });
  tone.connect(gain).connect(context.destination);
  gain.gain.setValueAtTime(0, atS);
  gain.gain.linearRampToValueAtTime(volume, atS + RAMP_S);
  gain.gain.setValueAtTime(volume, atS + TONE_S - RAMP_S);
  gain.gain.linearRampToValueAtTime(0, atS + TONE_S);
  tone.start(atS);
  tone.stop(atS + TONE_S);
}

/** Whether a response asked for functions: they run until the next one begins. */
function callsFunction({ response }: Message): boolean {
  const { output } = (response ?? {}) as { output?: unknown };
  return Array.isArray(output) && output.some((item) => (item as Message | null)?.type === 'function_call');
}

/** `on-demand.ts` says what it does; `context` was made in the click that asked for it. */
export function comfortTone(
  call: SoundingCall,
  options: ComfortTone = {},
  context: AudioContext = new AudioContext(),
): () => void {
  const { during = ['reconnecting', 'tool'], volume = 0.04, hz = 440, everyMs = 2000 } = options;
  const reasons = new Set<'reconnecting' | 'tool'>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const sound = () => {
    play(context, hz, volume);
    timer = setTimeout(sound, everyMs);
  };
  const set = (reason: 'reconnecting' | 'tool', holds: boolean) => {
    if (holds && during.includes(reason)) reasons.add(reason);
    else reasons.delete(reason);
    if (reasons.size > 0) timer ??= setTimeout(sound, DELAY_MS);
    else {
      clearTimeout(timer);
      timer = undefined;
    }
  };
  const look = (state: CallState) => {
    set('reconnecting', state === 'reconnecting');
    if (state === 'ended') stop();
  };
  const off = [
    call.on('state', look),
    call.on('event', (event) => {
      if (event.type === 'response.done') set('tool', callsFunction(event));
      else if (event.type === 'response.created' || event.type === 'input_audio_buffer.speech_started')
        set('tool', false);
    }),
  ];
  const stop = () => {
    for (const unlisten of off) unlisten();
    clearTimeout(timer);
    if (context.state !== 'closed') void context.close();
  };
  look(call.state);
  return stop;
}

/** The same; `asked` is the state of the call when it was asked for: what became of it since is heard still. */
export function cueSounds(
  call: SoundingCall,
  volume = 0.06,
  context: AudioContext = new AudioContext(),
  asked: CallState = call.state,
): () => void {
  const pair = (first: number, second: number) => {
    play(context, first, volume);
    play(context, second, volume, context.currentTime + TONE_S);
  };
  let begun = asked !== 'connecting';
  const look = (state: CallState) => {
    if (state === 'ready' && !begun) pair(523, 659);
    begun ||= state === 'ready';
    if (state !== 'ended') return;
    if (begun) pair(659, 523);
    stop(2 * TONE_S);
  };
  const off = [call.on('state', look), call.on('muted', (muted) => play(context, muted ? 392 : 523, volume))];
  const stop = (afterS = 0) => {
    for (const unlisten of off) unlisten();
    setTimeout(() => {
      if (context.state !== 'closed') void context.close();
    }, afterS * 1000);
  };
  if (call.state !== asked) look(call.state);
  return () => stop();
}
