import { createWriteStream, readdirSync, statSync, unlinkSync, type WriteStream } from 'node:fs';
import { join } from 'node:path';
import { folderFault, makeDirectory } from '../../net/files.ts';
import { StartupError } from '../../net/startup.ts';
import type { ObservedConnection, QuicObserver } from '../../proto/quic/index.ts';
import { toHex } from '../../proto/wire/index.ts';
import { QlogTrace } from './qlog-trace.ts';

/** What qvis and other readers expect of a sequential qlog file. */
const EXTENSION = '.sqlog';
/** Octets that wait for the disk, per file; records beyond it are left out rather than kept in memory. */
const MAX_WAITING_OCTETS = 1024 * 1024;

export interface QlogLimits {
  /** Files kept in the directory; the oldest go. Default 500. */
  readonly maxFiles?: number;
  /** Octets of one file; a trace ends there. Default 64 MiB. */
  readonly maxFileOctets?: number;
  /** Files open at a time; connections beyond it are not traced. Default 100. */
  readonly maxOpen?: number;
}

/** A directory of traces, one file for each connection, bounded in number and size. */
export class QlogDirectory {
  readonly #directory: string;
  readonly #maxFiles: number;
  readonly #maxFileOctets: number;
  readonly #maxOpen: number;
  /** Names of what is in the directory, oldest first. */
  readonly #files: string[];
  readonly #open = new Set<WriteStream>();
  /** Connections that were not traced, and records that were left out, because of a limit or a fault of the disk. */
  readonly skipped = { connections: 0, records: 0 };

  /** Makes the directory if there is none. Throws `StartupError` when it cannot be used. */
  constructor(directory: string, limits: QlogLimits = {}) {
    this.#directory = directory;
    this.#maxFiles = limits.maxFiles ?? 500;
    this.#maxFileOctets = limits.maxFileOctets ?? 64 * 1024 * 1024;
    this.#maxOpen = limits.maxOpen ?? 100;
    try {
      makeDirectory(directory, 0o700);
      this.#files = existingTraces(directory);
    } catch (error) {
      throw new StartupError(
        `qlogDirectory: cannot use ${directory}: ${folderFault(error)}; name a folder that may be written.`,
      );
    }
  }

  /** To be given to an endpoint as its observer. */
  get observer(): QuicObserver {
    return { forConnection: (connection, now) => this.begin(connection, now)?.observer };
  }

  /** Begins the trace of a connection, also of one that runs; `undefined` when as many are open as may be. */
  begin(
    connection: ObservedConnection,
    now: number,
  ): { readonly observer: QuicObserver; readonly path: string } | undefined {
    if (this.#open.size >= this.#maxOpen) {
      this.skipped.connections += 1;
      return undefined;
    }
    const epochMs = Date.now();
    const stamp = new Date(epochMs).toISOString().replaceAll(/[:.]/g, '-');
    const name = `${stamp}_${toHex(connection.originalDestination)}_${connection.role}${EXTENSION}`;
    this.#makeRoom();
    const path = join(this.#directory, name);
    const stream = createWriteStream(path, { mode: 0o600 });
    this.#files.push(name);
    this.#open.add(stream);
    stream.once('close', () => this.#open.delete(stream));
    // A full disk must not end calls: the trace ends, the connection goes on.
    stream.on('error', () => this.#open.delete(stream));
    let octets = 0;
    const observer = new QlogTrace(connection, now, epochMs, (record, last) => {
      if (stream.destroyed || stream.writableEnded) return;
      if (octets + record.length > this.#maxFileOctets || stream.writableLength > MAX_WAITING_OCTETS)
        this.skipped.records += 1;
      else {
        octets += record.length;
        stream.write(record);
      }
      if (last) stream.end();
    });
    return { observer, path };
  }

  #makeRoom(): void {
    while (this.#files.length >= this.#maxFiles) {
      const oldest = this.#files.shift()!;
      try {
        unlinkSync(join(this.#directory, oldest));
      } catch {
        // Another process removed it: there is room all the same.
      }
    }
  }

  /** Ends all traces; fulfils when they are on disk. */
  async close(): Promise<void> {
    const closing = [...this.#open].map(
      (stream) =>
        new Promise<void>((resolve) => {
          stream.once('close', () => resolve());
          stream.end();
        }),
    );
    await Promise.all(closing);
  }
}

function existingTraces(directory: string): string[] {
  return readdirSync(directory)
    .filter((name) => name.endsWith(EXTENSION))
    .map((name) => ({ name, at: statSync(join(directory, name)).mtimeMs }))
    .sort((a, b) => a.at - b.at)
    .map(({ name }) => name);
}
