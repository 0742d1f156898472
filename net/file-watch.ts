import { statSync } from 'node:fs';

/** How often files are looked at, in ms. A look is one system call; a watch by the kernel misses renames and network disks. */
const INTERVAL_MS = 1_000;

/** What a file looked like: one that replaces it has another inode. */
function stampOf(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? 'none' : `${stat.ino} ${stat.size} ${stat.mtimeMs}`;
}

/** Calls back when one of several files has changed or was replaced. Does not keep the process running. */
export class FileWatch {
  readonly #paths: readonly string[];
  readonly #onChange: () => void;
  readonly #timer: NodeJS.Timeout;
  #stamp: string;

  constructor(paths: readonly string[], onChange: () => void, intervalMs = INTERVAL_MS) {
    this.#paths = paths;
    this.#onChange = onChange;
    this.#stamp = this.#look();
    this.#timer = setInterval(() => this.check(), intervalMs).unref();
  }

  /** Looks now. */
  check(): void {
    const stamp = this.#look();
    if (stamp === this.#stamp) return;
    this.#stamp = stamp;
    this.#onChange();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): string {
    try {
      return this.#paths.map(stampOf).join();
    } catch (error) {
      return `unreadable: ${(error as NodeJS.ErrnoException).code}`;
    }
  }
}
