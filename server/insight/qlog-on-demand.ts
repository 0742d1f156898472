import type { QuicConnection } from '../../proto/quic/index.ts';
import type { QlogDirectory } from './qlog-directory.ts';

/** Traces of connections that run, begun when an operator asks. */
export class QlogOnDemand {
  readonly #directory: QlogDirectory;
  /** Files by connection: asked twice, one trace goes on. */
  readonly #paths = new WeakMap<QuicConnection, string>();

  constructor(directory: QlogDirectory) {
    this.#directory = directory;
  }

  /** The file that the connection is traced in from now on; `undefined` when there are too many, or it has ended. */
  begin(connection: QuicConnection, now: number): string | undefined {
    const known = this.#paths.get(connection);
    if (known !== undefined) return known;
    let path: string | undefined;
    connection.observe((observed) => {
      const trace = this.#directory.begin(observed, now);
      path = trace?.path;
      return trace?.observer;
    }, now);
    if (path !== undefined) this.#paths.set(connection, path);
    return path;
  }
}
