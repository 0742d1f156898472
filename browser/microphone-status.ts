/**
 * Whether the caller can be heard. `asking` until the first sample has come: the browser asks for permission, or starts the
 * device. `muted` by the page; `muted-by-system` by a switch, a phone call, or as the browser suspended its audio. `ended`
 * when the device was taken away (another one is looked for), or the call is over. `failed` when there will be none in this call.
 */
export type MicrophoneState = 'asking' | 'live' | 'muted' | 'muted-by-system' | 'ended' | 'failed';

/** Why a microphone is not live, where the state alone does not say it. */
export type MicrophoneReason =
  | 'track_muted'
  | 'audio_suspended'
  | 'device_lost'
  | 'not_allowed'
  | 'no_device'
  | 'no_sound';

/** A state of the microphone, and why it is so. */
export interface MicrophoneNews {
  readonly state: MicrophoneState;
  readonly reason: MicrophoneReason | undefined;
}

/** What is known of the microphone; the state follows from it. */
interface Facts {
  /** The browser gave a device. */
  granted: boolean;
  /** Samples have come from it. */
  flowing: boolean;
  /** The page muted it. */
  muted: boolean;
  trackMuted: boolean;
  audioSuspended: boolean;
  deviceLost: boolean;
  failure: MicrophoneReason | undefined;
  /** The call has ended. */
  over: boolean;
}

/** Joins what page, device and audio engine say into one state, and tells each change of it once. */
export class MicrophoneStatus {
  readonly #changed: (news: MicrophoneNews) => void;
  readonly #facts: Facts;
  #news: MicrophoneNews = { state: 'asking', reason: undefined };

  constructor(muted: boolean, changed: (news: MicrophoneNews) => void) {
    this.#changed = changed;
    this.#facts = {
      granted: false,
      flowing: false,
      muted,
      trackMuted: false,
      audioSuspended: false,
      deviceLost: false,
      failure: undefined,
      over: false,
    };
  }

  get state(): MicrophoneState {
    return this.#news.state;
  }

  /** Takes what is new. */
  update(facts: Partial<Facts>): void {
    Object.assign(this.#facts, facts);
    const news = judge(this.#facts);
    if (news.state === this.#news.state && news.reason === this.#news.reason) return;
    this.#news = news;
    this.#changed(news);
  }
}

function judge(facts: Facts): MicrophoneNews {
  if (facts.failure !== undefined) return { state: 'failed', reason: facts.failure };
  if (facts.over) return { state: 'ended', reason: undefined };
  if (facts.deviceLost) return { state: 'ended', reason: 'device_lost' };
  if (!facts.granted) return { state: 'asking', reason: undefined };
  if (facts.muted) return { state: 'muted', reason: undefined };
  if (facts.trackMuted) return { state: 'muted-by-system', reason: 'track_muted' };
  if (facts.audioSuspended) return { state: 'muted-by-system', reason: 'audio_suspended' };
  return { state: facts.flowing ? 'live' : 'asking', reason: undefined };
}
