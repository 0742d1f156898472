import { writeSync } from 'node:fs';
import { type Logger, type LoggerOptions, pino } from 'pino';

/** Lines that wait while the output takes none, in octets and in number; those beyond are dropped and counted. */
const MAX_WAITING_OCTETS = 256 * 1024;
const MAX_WAITING_LINES = 1000;
/** How long until an output that took nothing is tried again, in ms. */
const RETRY_MS = 20;
/** How long the end of the process waits for an output that reads slowly, in ms. */
const EXIT_WAIT_MS = 200;
const EXIT_RETRY_MS = 5;
const STANDARD_OUTPUT = 1;

/** Writes octets and gives how many were taken, as `fs.writeSync` does, or throws its error. */
export type WriteOctets = (octets: Uint8Array) => number;

/**
 * Where log lines go. Never waits and never throws: what the output does not take (a full pipe, a full disk, a pipe that
 * has no reader any more) waits in a bounded queue, and beyond its bound lines are dropped and counted. pino's own destination
 * retries without end and stops the process meanwhile. Lines stay whole: one that was taken in part is finished first.
 */
export class LogDestination {
  /** Lines dropped since the start. */
  dropped = 0;
  readonly #write: WriteOctets;
  readonly #waiting: Uint8Array[] = [];
  #waitingOctets = 0;
  #retry: NodeJS.Timeout | undefined;

  constructor(write: WriteOctets) {
    this.#write = write;
  }

  /** Takes one line, with the line feed at its end. */
  write(line: string): void {
    const octets = Buffer.from(line);
    const full =
      this.#waiting.length >= MAX_WAITING_LINES || this.#waitingOctets + octets.length > MAX_WAITING_OCTETS;
    if (full) {
      this.dropped += 1;
      return;
    }
    this.#waiting.push(octets);
    this.#waitingOctets += octets.length;
    if (this.#retry === undefined) this.flush();
  }

  /** Tries once to write what waits. */
  flush(): void {
    while (this.#waiting.length > 0) {
      const first = this.#waiting[0]!;
      let taken: number;
      try {
        taken = this.#write(first);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EPIPE') this.#dropAll();
        else this.#retryLater();
        return;
      }
      if (taken === 0) {
        this.#retryLater();
        return;
      }
      this.#waitingOctets -= taken;
      if (taken === first.length) this.#waiting.shift();
      else this.#waiting[0] = first.subarray(taken);
    }
  }

  /** Writes what waits, for at most `waitMs`, and holds the process up meanwhile: for its end. */
  finish(waitMs = EXIT_WAIT_MS): void {
    const pause = new Int32Array(new SharedArrayBuffer(4));
    for (let left = waitMs; left >= 0; left -= EXIT_RETRY_MS) {
      this.flush();
      if (this.#waiting.length === 0) return;
      Atomics.wait(pause, 0, 0, EXIT_RETRY_MS);
    }
  }

  /** A pipe without a reader: what waits would come too late for the next one, if there ever is one. */
  #dropAll(): void {
    this.dropped += this.#waiting.length;
    this.#waiting.length = 0;
    this.#waitingOctets = 0;
  }

  #retryLater(): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      this.flush();
    }, RETRY_MS).unref();
  }
}

let standardOutput: LogDestination | undefined;

/** This process's standard output, shared by all that write lines to it. */
export function standardOutputLines(): LogDestination {
  if (standardOutput !== undefined) return standardOutput;
  // Node makes a pipe non-blocking when its stream is first asked for: a reader that stands still then gives EAGAIN.
  void process.stdout.isTTY;
  // Something else may write to the stream, and an error without a listener would end the process.
  process.stdout.on('error', () => {});
  const made = new LogDestination((octets) => writeSync(STANDARD_OUTPUT, octets));
  process.once('exit', () => made.finish());
  standardOutput = made;
  return made;
}

/** Log lines that standard output did not take, since the start. */
export function logLinesDropped(): number {
  return standardOutput?.dropped ?? 0;
}

/** A logger of JSON lines to standard output that cannot hold its process up. */
export function createLog(options: LoggerOptions): Logger {
  return pino(options, standardOutputLines());
}
