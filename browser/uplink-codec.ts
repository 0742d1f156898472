import type { MicrophoneCodec, ReadyMessage, ServerMessage, UplinkMessage } from '../proto/voice/index.ts';
import { msToSamples, OPUS_CODEC, VOICE_CODEC } from '../proto/voice/index.ts';
import { loadLateParts } from './late-parts.ts';
import type { CodecOption, OpusChoice } from './opus-choice.ts';
import { loadOpus, type OpusModule, offersOpus } from './opus-module.ts';

/** How often the page tells the backend where its microphone is, and its listener how things stand while they are bad, in ms. */
const TELL_MS = 1000;
/** A session that takes so long to stand, in ms, tells of a network that loses much or carries little: five round trips of 200 ms. */
const SLOW_DIAL_MS = 1000;
/** PCM that is sent before the backend acknowledged any: 24 kB. */
const FIRST_PCM_SAMPLES = msToSamples(500);

/** What may happen before the choice is loaded: 20 ms of audio and its acknowledgements, for a minute or more. */
const MAX_EARLY = 6000;

/** How the network takes the microphone's audio. */
export interface Uplink {
  /** The network does not carry what is said as PCM, or is being tried. */
  readonly limited: boolean;
  readonly codec: MicrophoneCodec;
  /** How long audio waits for the network, in ms. */
  readonly waitingMs: number;
  /** Octets that Opus saved in the call so far. */
  readonly savedOctets: number;
}

/** What the codec needs of its line. */
export interface UplinkCodecHost {
  /** Gives the streams under way up, and sends what the backend has not acknowledged again. */
  resend(): void;
  /** There may be another codec to send in. */
  wake(): void;
  tell(message: UplinkMessage): void;
  changed(uplink: Uplink): void;
}

/** The codec of a call's microphone, over all its sessions. */
export class UplinkCodec {
  #choice: OpusChoice | undefined;
  /** What the choice is to know, until it was loaded. */
  #early: ((choice: OpusChoice) => void)[] = [];
  readonly #calmMs: number | undefined;
  readonly #host: UplinkCodecHost;
  readonly #option: CodecOption;
  #module: OpusModule | undefined;
  #failed = false;
  #beginsOpus = false;
  /** The backend of the session takes Opus. */
  #taken = false;
  #told = { samples: 0, at: 0 };
  #last: Uplink = { limited: false, codec: VOICE_CODEC, waitingMs: 0, savedOctets: 0 };
  #toldAt = 0;
  #saidAt = 0;
  #savedOctets = 0;
  #acknowledged = 0;

  constructor(
    { codec, codecCalmMs }: { readonly codec: CodecOption; readonly codecCalmMs: number | undefined },
    host: UplinkCodecHost,
  ) {
    this.#option = codec;
    this.#host = host;
    this.#calmMs = codecCalmMs;
  }

  /** Codecs for the hello. */
  get offered(): string[] {
    return this.#option !== 'pcm' && !this.#failed && offersOpus()
      ? [VOICE_CODEC, OPUS_CODEC]
      : [VOICE_CODEC];
  }

  /** Whether the first words wait for the backend's word on Opus. */
  get mustWait(): boolean {
    return (this.#option === 'opus' || this.#beginsOpus) && offersOpus();
  }

  /** Fulfils when the choice was loaded, and knows what happened until then; or could not be loaded. */
  async #load(): Promise<void> {
    const parts = await loadLateParts();
    if (parts === undefined || this.#choice !== undefined) return;
    const choice = new parts.OpusChoice(this.#option, this.#calmMs);
    this.#choice = choice;
    for (const happened of this.#early.splice(0)) happened(choice);
  }

  /** Tells the choice, now or when it is there. Without it audio is PCM. */
  #tell(happened: (choice: OpusChoice) => void): void {
    if (this.#choice !== undefined) happened(this.#choice);
    else if (this.#early.length < MAX_EARLY) this.#early.push(happened);
  }

  /** The first session stands, and was dialled then. On a network that is known to be bad by then not even the first words are PCM. */
  dialled(at: number, now: number): void {
    void this.#load();
    if (now - at < SLOW_DIAL_MS || this.#option !== 'auto' || !offersOpus()) return;
    this.#beginsOpus = true;
    this.#tell((choice) => choice.beginOpus(now));
  }

  get uplink(): Uplink {
    return this.#last;
  }

  /** What sends the next audio as Opus; undefined for PCM. */
  opus(): OpusModule | undefined {
    return this.#choice?.codec === OPUS_CODEC ? this.#module : undefined;
  }

  opusFailed(): void {
    this.#failed = true;
    if (this.#choice !== undefined) this.#choice.available = false;
    this.#module = undefined;
  }

  /**
   * The sample up to which PCM may be given to the transport, of what begins at `from`: half a second, and as much again as the backend
   * acknowledged of it. What waits on a thin link is then not PCM that fills its queue before it is known how thin it is.
   */
  pcmBound(from: number): number {
    const acknowledged = this.#acknowledged;
    return Math.max(from, acknowledged) + FIRST_PCM_SAMPLES + Math.max(0, acknowledged - from);
  }

  said(samples: number, now: number): void {
    this.#saidAt = now;
    this.#tell((choice) => choice.said(samples, now));
  }

  acknowledged(samples: number, now: number): void {
    this.#acknowledged = Math.max(this.#acknowledged, samples);
    this.#tell((choice) => choice.acknowledge(samples, now));
    this.#drive(now);
    this.#host.wake();
  }

  /** The backend of a session is ready: what is sent from here on may be Opus, when it takes that. */
  async ready(message: ReadyMessage, now: number): Promise<void> {
    this.#taken = message.codecs?.includes(OPUS_CODEC) === true && this.#option !== 'pcm' && !this.#failed;
    const { microphoneSamples } = message.call;
    this.#acknowledged = microphoneSamples;
    this.#tell((choice) => {
      choice.roundTrip(message.handshakeMs ?? 0);
      choice.carried(microphoneSamples, now);
    });
    await this.#load();
    if (this.#taken) this.#module ??= await loadOpus();
    if (this.#choice !== undefined) this.#choice.available = this.#taken && this.#module !== undefined;
    this.#host.wake();
  }

  /** Something came from the backend. */
  heard(now: number): void {
    this.#choice?.heard(now);
  }

  lost(): void {
    this.#tell((choice) => choice.lost());
  }

  take(message: ServerMessage): void {
    if (message.type === 'parley.behind') this.#tell((choice) => choice.behind(message.bufferedMs > 0));
    if (message.type !== 'parley.stats') return;
    this.#tell((choice) => choice.roundTrip(message.minRttMs));
    this.#savedOctets = message.microphone?.savedOctets ?? 0;
  }

  /** To be called a few times a second. */
  tick(samples: number, elapsedMs: (at: number) => number, now: number): void {
    this.#drive(now);
    const choice = this.#choice;
    if (!this.#taken || choice === undefined) return;
    if (now - this.#told.at < TELL_MS || samples === this.#told.samples) return;
    this.#told = { samples, at: now };
    this.#host.tell({
      type: 'parley.uplink',
      microphoneSamples: samples,
      elapsedMs: elapsedMs(this.#saidAt),
      waitingMs: Math.round(choice.waitingMs(now)),
      codec: choice.codec,
    });
  }

  #drive(now: number): void {
    const choice = this.#choice;
    if (choice === undefined) return;
    if (choice.update(now)) this.#host.resend();
    const { limited, codec } = choice;
    const waitingMs = Math.round(choice.waitingMs(now));
    const last = this.#last;
    this.#last = { limited, codec, waitingMs, savedOctets: this.#savedOctets };
    if (codec !== last.codec) this.#host.wake();
    const changed = limited !== last.limited || codec !== last.codec;
    if (!changed && !(limited && now - this.#toldAt >= TELL_MS)) return;
    this.#toldAt = now;
    this.#host.changed(this.#last);
  }
}
