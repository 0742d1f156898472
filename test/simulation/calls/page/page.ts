import { readAnswers } from '../../../../browser/answer-reader.ts';
import type { LineAnswers } from '../../../../browser/call-answers.ts';
import { loadCarriers } from '../../../../browser/dial.ts';
import { DownlinkCodec } from '../../../../browser/downlink-codec.ts';
import { loadLateParts } from '../../../../browser/late-parts.ts';
import { Line } from '../../../../browser/line.ts';
import { Outbox } from '../../../../browser/outbox.ts';
import type { Playback } from '../../../../browser/playback.ts';
import type {
  AnswerHeader,
  Message,
  PageCall,
  Resume,
  ServerMessage,
} from '../../../../proto/voice/index.ts';
import { OCTETS_PER_SAMPLE, Seam } from '../../../../proto/voice/index.ts';
import type { Page, PageOptions, PageWitness } from '../page-face.ts';

/** An answer as the loudspeaker has it. */
interface Sound {
  readonly header: AnswerHeader;
  samples: number;
  open: boolean;
  cleared: boolean;
  carriage: number;
  readonly seam: Seam;
}

/** Takes what is to be played, at once; the sound device is left out. */
class Loudspeaker {
  readonly #witness: PageWitness;
  readonly #sounds = new Map<number, Sound>();

  constructor(witness: PageWitness) {
    this.#witness = witness;
  }

  async room(): Promise<void> {}

  begin(header: AnswerHeader): Sound {
    let sound = this.#sounds.get(header.answer);
    if (sound === undefined) {
      sound = { header, samples: 0, open: true, cleared: false, carriage: 0, seam: new Seam() };
      this.#sounds.set(header.answer, sound);
      this.#witness.answerBegins(header);
    }
    return sound;
  }

  push(sound: Sound, octets: Uint8Array): void {
    sound.samples += octets.length / OCTETS_PER_SAMPLE;
    this.#witness.answer(sound.header, octets);
  }

  end(sound: Sound, complete: boolean): void {
    if (!sound.open) return;
    sound.open = false;
    this.#witness.answerEnds(sound.header, complete);
  }

  breakOff(): void {
    for (const sound of this.#sounds.values()) this.end(sound, false);
    this.#witness.brokenOff();
  }

  /** Stops these responses; gives what is known of them. */
  clear(responseIds: readonly string[]): Sound[] {
    const known = [...this.#sounds.values()].filter(({ header }) => responseIds.includes(header.responseId));
    for (const sound of known) sound.cleared = true;
    return known;
  }
}

class LinePage implements Page {
  readonly #line: Line;
  readonly #outbox: Outbox;
  readonly #witness: PageWitness;
  readonly #sounds: Loudspeaker;
  readonly #begunAt = performance.now();
  #over = false;
  #asked = 0;
  attachment = 0;
  callId: string | undefined;

  constructor({ url, token, resumeFor, certificateHashes = [] }: PageOptions, witness: PageWitness) {
    this.#witness = witness;
    this.#sounds = new Loudspeaker(witness);
    const playback = this.#sounds as unknown as Playback;
    const current: LineAnswers['current'] = {
      playback,
      downlink: new DownlinkCodec({ codec: 'pcm' }, playback, () => undefined),
      read: (streams, source) => readAnswers(streams, playback, source),
    };
    this.#line = new Line(
      { url, token, resumeFor, certificateHashes, timeoutMs: 10_000 },
      {
        answers: { current, hello: {}, begin: () => current },
        uplink: () => undefined,
        elapsedMs: (at) => at,
        opened: () => undefined,
        ready: ({ sessionId }) => witness.ready('new', sessionId, 0),
        reconnecting: () => witness.reconnecting(),
        recovered: () => undefined,
        resumed: ({ sessionId }, { how, omittedItems }) => witness.ready(how, sessionId, omittedItems),
        heard: () => witness.anythingCame?.(),
        own: (message) => this.#own(message),
        event: (message) => witness.event(message),
        progress: () => undefined,
        failed: ({ message, code, closeCode }) => this.#failed(`${code}: ${message}`, closeCode),
      },
    );
    this.#listenTo(this.#line.call);
    this.#outbox = new Outbox({
      closing: () => false,
      order: () => this.#line.microphone.order(this.elapsedMs),
      send: (message) => this.#line.send(message),
      failed: (error) => this.#failed(String(error), undefined),
    });
  }

  get attached(): boolean {
    return this.#line.attached;
  }

  get samples(): number {
    return this.#line.microphone.samples;
  }

  get receivedSamples(): number {
    return this.#line.call.receivedSamples;
  }

  get keptSamples(): number {
    return this.samples - this.#line.call.microphone.firstSample;
  }

  get forgottenSamples(): number {
    return this.#line.call.microphone.forgottenSamples;
  }

  get pendingEvents(): number {
    return this.#line.call.pendingEvents;
  }

  get elapsedMs(): number {
    return performance.now() - this.#begunAt;
  }

  async start(): Promise<void> {
    try {
      await this.#line.start(new AbortController().signal);
    } catch (error) {
      this.#failed(String(error), undefined);
    }
  }

  beginStretch(): void {
    this.#line.microphone.begin(this.elapsedMs);
  }

  speak(samples: Int16Array): void {
    this.#line.microphone.push(samples);
  }

  endStretch(): void {
    this.#line.microphone.end();
  }

  send(event: Message): void {
    this.#outbox.send(event);
  }

  wake(): void {
    this.#line.wake();
  }

  copyResume(): Resume | undefined {
    const asked = this.#asked;
    const copy = structuredClone(this.#line.call.resume());
    this.#asked = asked;
    return copy;
  }

  finish(): void {
    this.#line.finish();
  }

  close(closeCode: number, reason: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#line.close(closeCode, reason);
  }

  /** What only the line hears. */
  #listenTo(call: PageCall): void {
    const checkpoint = call.checkpoint.bind(call);
    const received = call.received.bind(call);
    const resume = call.resume.bind(call);
    const attached = call.attached.bind(call);
    call.resume = (move) => {
      const asked = resume(move);
      this.#asked = asked?.attachment ?? 0;
      return asked;
    };
    call.attached = (message) => {
      this.attachment = this.#asked;
      this.callId = message.callId;
      return attached(message);
    };
    call.checkpoint = (message) => {
      this.#witness.checkpoint(message);
      checkpoint(message);
    };
    call.received = (message) => {
      if (message.type === 'parley.conversation') this.#witness.rewound(Number(message.omittedItems));
      received(message);
    };
  }

  #failed(reason: string, closeCode: number | undefined): void {
    if (this.#over) return;
    this.close(closeCode ?? 0, reason);
    this.#witness.failed(reason, closeCode);
  }

  #own(message: ServerMessage): void {
    this.#witness.own(message);
    if (message.type !== 'parley.playback.clear') return;
    const { responseIds } = message;
    for (const { header, samples } of this.#sounds.clear(responseIds)) {
      const { itemId, contentIndex } = header;
      const playedSamples = Math.floor(samples / 2);
      this.#line.send({
        type: 'parley.playback.position',
        itemId,
        contentIndex,
        playedSamples,
        playedMs: playedSamples / 24,
        cleared: true,
      });
    }
    this.#line.send({ type: 'parley.playback.cleared', responseIds: [...responseIds] });
  }
}

export function openPage(options: PageOptions, witness: PageWitness): Page {
  return new LinePage(options, witness);
}

export async function loadOnDemand(): Promise<void> {
  await Promise.all([loadCarriers(), loadLateParts()]);
}
