import { type AnswerHeader, octetsToInt16, SAMPLE_RATE, samplesToMs } from '../proto/voice/index.ts';
import { type AnswerCounters, AnswerLog, type AnswerRecord, type Cut, type Position } from './answer-log.ts';
import type { Played } from './audio/playback-queue.ts';
import type { PlaybackCommand, PlaybackReport } from './worklets/messages.ts';

/** Answer audio the page takes ahead of playback: 30 minutes, 86 MB. Beyond it the page stops reading, and QUIC waits. */
const MAX_AHEAD_SAMPLES = 30 * 60 * SAMPLE_RATE;

/** Longest wait for the worklet to say where it stopped, in ms; a suspended audio engine says nothing. */
const STOP_MS = 500;

/** What a cut did: how far the answers that it stopped were heard, and those of all that it named. */
export interface CutPositions {
  readonly stopped: readonly Position[];
  readonly known: readonly Position[];
}

/** What playback tells the call. */
export interface PlaybackListener {
  /** Answer `position` is at; about every 50 ms while one plays. */
  progress(position: Position): void;
  /** An answer was heard to its end. */
  finished(position: Position): void;
  level(level: number): void;
  /** Answers that will not go on were stopped, as another one began to be heard in their place. */
  replaced(positions: readonly Position[]): void;
}

/**
 * The page's side of playback: hands answers to the worklet as they come and keeps the record of what was heard.
 * Before the audio engine is up (the caller may still be asked for the microphone), commands wait in order.
 */
export class Playback {
  readonly #log = new AnswerLog();
  readonly #listener: PlaybackListener;
  readonly #early: [PlaybackCommand, Transferable[]][] = [];
  readonly #clears = new Map<number, () => void>();
  /** Stops that the worklet has not answered yet, by the answer's key. */
  readonly #stopping = new Map<number, Promise<void>>();
  #port: MessagePort | undefined;
  #nextClear = 0;
  #underruns = 0;
  #playing = false;
  #room: (() => void)[] = [];
  #closed = false;
  /** Answers that broke off with their upstream and are heard from the buffer until another one comes. */
  #broken: AnswerRecord[] = [];

  constructor(listener: PlaybackListener) {
    this.#listener = listener;
  }

  /** Joins the worklet, once there is one. */
  attach(port: MessagePort): void {
    this.#port = port;
    port.onmessage = (event: MessageEvent<PlaybackReport>) => this.#take(event.data);
    for (const [command, transfer] of this.#early.splice(0)) port.postMessage(command, transfer);
  }

  get counters(): AnswerCounters[] {
    return this.#log.counters;
  }

  /** Answer audio that came and still has to be heard, in ms. */
  get bufferedMs(): number {
    return samplesToMs(this.#log.waitingSamples);
  }

  /** Times that an answer ran dry before its end and went on later. */
  get underruns(): number {
    return this.#underruns;
  }

  /** When the first audio came of the answer that is heard and still comes; undefined when none is. */
  get flowingSince(): number | undefined {
    return this.#log.flowingSince;
  }

  get playing(): boolean {
    return this.#playing;
  }

  /** An answer's stream began: the answer begins, or goes on after a change of session. */
  begin(header: AnswerHeader): AnswerRecord {
    const resumed = this.#log.resumed(header.answer);
    if (resumed !== undefined) return resumed;
    const record = this.#log.begin(header);
    if (!record.cleared) this.#command({ type: 'begin', key: record.key });
    return record;
  }

  /** Audio of an answer: whole samples, as octets. What comes after a clear is counted and not played. */
  push(record: AnswerRecord, octets: Uint8Array): void {
    if (octets.length === 0) return;
    record.received(octets);
    record.firstAt ??= performance.now();
    if (record.cleared) return;
    if (this.#broken.length > 0) this.#cutBroken();
    const samples = new Int16Array(octetsToInt16(octets));
    this.#command({ type: 'samples', key: record.key, samples }, [samples.buffer]);
  }

  /** Its stream ended: `complete` with a FIN, not so with a reset. */
  end(record: AnswerRecord, complete: boolean): void {
    record.complete = complete;
    record.open = false;
    if (!record.cleared) this.#command({ type: 'end', key: record.key });
  }

  /** The upstream is another one: what has not wholly come of its answers never will. What came is heard until a new one begins. */
  breakOff(): void {
    const broken = this.#log.open;
    for (const record of broken) this.end(record, false);
    this.#broken.push(...broken.filter(({ cleared }) => !cleared));
  }

  /** Responses of which the caller has not heard everything. */
  get unheardResponses(): string[] {
    return this.#log.unheardResponses;
  }

  /** Stops these responses at once, for good: what still comes of them is not played. Fulfils with how far they were heard. */
  cutResponses(responseIds: readonly string[]): Promise<CutPositions> {
    return this.#cut(this.#log.cutResponses(responseIds));
  }

  /** The same for one item. */
  cutItem(itemId: string): Promise<CutPositions> {
    return this.#cut(this.#log.cutItem(itemId));
  }

  #cutBroken(): void {
    const cut = this.#cut(this.#log.cutRecords(this.#broken));
    this.#broken = [];
    void cut.then(({ stopped }) => {
      if (stopped.length > 0) this.#listener.replaced(stopped);
    });
  }

  async #cut({ stopped, known }: Cut): Promise<CutPositions> {
    this.#makeRoom();
    for (const record of stopped) this.#stop(record.key);
    await Promise.all(known.map((record) => this.#stopping.get(record.key)));
    const positions = (records: readonly AnswerRecord[]) => records.map((record) => record.position);
    return { stopped: positions(stopped), known: positions(known) };
  }

  /** Fulfils when there is room for more: this is where a long answer holds the network back. */
  async room(): Promise<void> {
    while (!this.#closed && this.#log.waitingSamples >= MAX_AHEAD_SAMPLES) {
      await new Promise<void>((resolve) => this.#room.push(resolve));
    }
  }

  /** The call is over: nothing is waited for any longer. */
  close(): void {
    this.#closed = true;
    this.#playing = false;
    this.#makeRoom();
    for (const resolve of [...this.#clears.values()]) resolve();
  }

  #stop(key: number): void {
    if (this.#closed || this.#port === undefined) {
      // Nothing was heard yet: what waits for the worklet is simply not given to it.
      const kept = this.#early.filter(([command]) => !('key' in command) || command.key !== key);
      this.#early.splice(0, this.#early.length, ...kept);
      return;
    }
    const id = this.#nextClear++;
    const stopped = new Promise<void>((resolve) => {
      const timer = setTimeout(() => this.#clears.get(id)?.(), STOP_MS);
      this.#clears.set(id, () => {
        clearTimeout(timer);
        this.#clears.delete(id);
        this.#stopping.delete(key);
        resolve();
      });
    });
    this.#stopping.set(key, stopped);
    this.#command({ type: 'clear', id, key });
  }

  #command(command: PlaybackCommand, transfer: Transferable[] = []): void {
    if (this.#port === undefined) this.#early.push([command, transfer]);
    else this.#port.postMessage(command, transfer);
  }

  #take(report: PlaybackReport): void {
    switch (report.type) {
      case 'progress':
        this.#progress(report);
        break;
      case 'finished':
        for (const played of report.answers) {
          const record = this.#note(played);
          if (record !== undefined) this.#listener.finished(record.position);
        }
        break;
      case 'cleared':
        for (const played of report.answers) this.#note(played);
        this.#clears.get(report.id)?.();
        break;
    }
    this.#makeRoom();
  }

  #progress(report: PlaybackReport & { type: 'progress' }): void {
    this.#underruns = report.underruns;
    this.#playing = report.current !== undefined;
    // The last report of an answer still carries the loudness of its end; after it none comes to take that back.
    this.#listener.level(report.current === undefined ? 0 : report.level);
    if (report.current === undefined) return;
    const record = this.#note(report.current);
    if (record !== undefined) this.#listener.progress(record.position);
  }

  #note(played: Played): AnswerRecord | undefined {
    const record = this.#log.get(played.key);
    record?.played(played);
    return record;
  }

  #makeRoom(): void {
    if (this.#room.length === 0 || (!this.#closed && this.#log.waitingSamples >= MAX_AHEAD_SAMPLES)) return;
    for (const resolve of this.#room.splice(0)) resolve();
  }
}
