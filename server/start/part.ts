import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { styleText } from 'node:util';
import { standardOutputLines } from '../../net/log.ts';
import { PACKAGED } from '../../net/packaged.ts';
import { PART_VARIABLE } from '../../net/program.ts';
import { StartupError } from '../../net/startup.ts';

export type Colour = 'cyan' | 'green' | 'magenta' | 'yellow' | 'blue' | 'red' | 'gray';

/** Text in a style on a terminal; plain in files and pipes, and where NO_COLOR is set. */
export function paint(style: Parameters<typeof styleText>[0], text: string): string {
  return process.stdout.isTTY && !process.env.NO_COLOR ? styleText(style, text) : text;
}

/** Prints lines. An output that takes none, such as a closed pipe, holds nothing up. */
export function say(text: string): void {
  standardOutputLines().write(`${text}\n`);
}

/** Prints one status line of one part. */
export function status(name: string, colour: Colour, text: string): void {
  say(`${paint(colour, name.padEnd(12))} ${text}`);
}

export interface PartOptions {
  readonly name: string;
  readonly colour: Colour;
  readonly script: string;
  readonly args: readonly string[];
  /** Environment variables of this process that the part is not given. */
  readonly without?: readonly string[];
  /** Sockets that are held for it, so that they outlive it; it finds them as systemd's are found (LISTEN_FDS). */
  readonly descriptors?: readonly number[];
  /** It takes commands on its standard input (`tell`). */
  readonly commands?: boolean;
  /** What to print once it is up. */
  readonly describe: string;
  /** Is given each line of its log that is not printed by itself. */
  readonly notice?: (line: LogLine) => void;
}

/** How long a part may take to come up. */
const READY_TIMEOUT_MS = 60_000;
const RESTART_DELAY_MS = 300;
/** A part that dies this often within a minute stays down. */
const MAX_RESTARTS_PER_MINUTE = 5;
/** pino's "warn" and "error". */
const NOTABLE_LEVEL = 40;
const ERROR_LEVEL = 50;

/** A line of a part's log, as far as it is looked at. */
export interface LogLine {
  readonly level?: number;
  readonly msg?: string;
  readonly outcome?: string;
  readonly origin?: string;
}

function parseLog(line: string): LogLine | undefined {
  try {
    return JSON.parse(line) as LogLine;
  } catch {
    return undefined;
  }
}

/** A restart that was asked for, and who waits for it. */
interface Restart {
  readonly back: () => void;
  readonly failed: (error: Error) => void;
}

/** One process of the system: started, watched, restarted when it dies, stopped with the rest. */
export class Part {
  readonly #options: PartOptions;
  #child: ChildProcess | undefined;
  #stopping = false;
  #printedLevel = NOTABLE_LEVEL;
  #restarts: number[] = [];
  #wanted: Restart | undefined;

  constructor(options: PartOptions) {
    this.#options = options;
  }

  get name(): string {
    return this.#options.name;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /**
   * Fulfils when the part logged that it is ready, with a function that announces it: parts that start together are announced
   * in order. Rejects with what the part wrote on standard error when it ends before.
   */
  async start(): Promise<() => void> {
    const { name, colour, describe } = this.#options;
    await this.#spawn();
    return () => status(name, colour, describe);
  }

  /** The parts beside it are being stopped: its warnings, which are of their ends, are no news. */
  hush(): void {
    this.#printedLevel = ERROR_LEVEL;
  }

  /** `again` after so many ms: a backend that drains ends at a second SIGTERM. */
  stop(againMs?: number): void {
    this.#stopping = true;
    const child = this.#child;
    child?.kill('SIGTERM');
    if (againMs !== undefined) setTimeout(() => child?.kill('SIGTERM'), againMs).unref();
  }

  /** Ends the process with this signal and starts it again: fulfils when it is back. Rejects when it does not run, or does not come back. */
  restart(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    const gone = child === undefined || child.exitCode !== null || child.signalCode !== null;
    if (gone || this.#stopping || this.#wanted !== undefined)
      return Promise.reject(new StartupError(`${this.#options.name} is not running just now.`));
    return new Promise((back, failed) => {
      this.#wanted = { back, failed };
      child.kill(signal);
    });
  }

  /** Gives the process a line on its standard input. */
  tell(line: string): void {
    this.#child?.stdin?.write(`${line}\n`);
  }

  /** Fulfils when the process is gone; after `graceMs` it is killed. */
  async stopped(graceMs: number): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
    await new Promise((resolve) => child.once('exit', resolve));
    clearTimeout(timer);
  }

  #spawn(): Promise<void> {
    if (this.#stopping) return Promise.reject(new StartupError(`${this.#options.name} was stopped.`));
    const { name, script, args, without = [], descriptors = [], commands = false } = this.#options;
    const env: NodeJS.ProcessEnv = { ...process.env, [PART_VARIABLE]: name };
    for (const variable of [...without, 'LISTEN_FDS', 'LISTEN_PID']) delete env[variable];
    if (descriptors.length > 0) env.LISTEN_FDS = String(descriptors.length);
    const child = spawn(process.execPath, [...(PACKAGED ? [] : ['--import', 'tsx']), script, ...args], {
      // The channel closes when this process is killed, and the part ends by that.
      stdio: [commands ? 'pipe' : 'ignore', 'pipe', 'pipe', ...descriptors, 'ipc'],
      env,
      // Ctrl-C in a terminal goes to the whole group: the forwarder would end before backends could close their calls.
      detached: process.platform !== 'win32',
    });
    this.#child = child;
    // What is told to a process that has just ended is lost, and no fault.
    child.stdin?.on('error', () => {});
    const endWithUs = () => child.kill('SIGKILL');
    process.once('exit', endWithUs);
    child.once('exit', () => process.off('exit', endWithUs));
    let complaint = '';
    createInterface({ input: child.stderr! }).on('line', (line) => {
      complaint = `${complaint}${line}\n`.slice(-4000);
    });
    return new Promise((resolve, reject) => {
      let ready = false;
      const timer = setTimeout(() => {
        reject(new StartupError(`${name} was not ready in time.`));
        child.kill('SIGKILL');
      }, READY_TIMEOUT_MS);
      createInterface({ input: child.stdout! }).on('line', (line) => {
        const log = parseLog(line);
        if (log?.msg === 'ready') {
          ready = true;
          clearTimeout(timer);
          resolve();
        } else if (log === undefined) complaint = `${complaint}${line}\n`.slice(-4000);
        else if ((log.level ?? 0) >= this.#printedLevel) status(name, 'yellow', log.msg ?? line);
        else this.#options.notice?.(log);
      });
      child.once('error', reject);
      child.once('exit', (code, signal) => {
        clearTimeout(timer);
        const how = signal ?? `code ${code}`;
        const [said] = complaint.trim().split('\n', 1);
        if (!ready) reject(new StartupError(complaint.trim() || `${name} ended with ${how}.`));
        else this.#died(said ? `${how}: ${said}` : how);
      });
    });
  }

  #died(how: string): void {
    const wanted = this.#wanted;
    this.#wanted = undefined;
    if (this.#stopping) {
      wanted?.failed(new StartupError(`${this.#options.name} was stopped.`));
      return;
    }
    const { name } = this.#options;
    if (wanted !== undefined) {
      status(name, 'yellow', `ended (${how}), as the page asked; starting it again`);
      this.#startAgain(wanted);
      return;
    }
    const now = Date.now();
    this.#restarts = [...this.#restarts.filter((at) => now - at < 60_000), now];
    if (this.#restarts.length > MAX_RESTARTS_PER_MINUTE) {
      status(name, 'red', `ended (${how}) too often and stays down; see above, then restart`);
      return;
    }
    status(name, 'yellow', `ended (${how}); starting it again`);
    setTimeout(() => {
      if (!this.#stopping) this.#startAgain();
    }, RESTART_DELAY_MS);
  }

  #startAgain(wanted?: Restart): void {
    this.#spawn().then(
      () => {
        status(this.#options.name, this.#options.colour, `is back: ${this.#options.describe}`);
        wanted?.back();
      },
      (error: Error) => {
        wanted?.failed(error);
        this.#died(error.message);
      },
    );
  }
}
