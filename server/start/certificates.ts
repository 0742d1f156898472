import { existsSync } from 'node:fs';
import { ensureDevelopmentCertificate, type StoredCertificate } from '../../certs/index.ts';
import { StartupError } from '../../net/startup.ts';

/** The certificate that browsers meet. */
export interface ServedCertificate {
  readonly certificate: string;
  readonly key: string;
  /** Hex, for pages; none when browsers trust the certificate by themselves. */
  hashes(): readonly string[];
  readonly description: string;
}

const until = ({ notAfter }: StoredCertificate) =>
  `valid until ${notAfter.toISOString().slice(0, 16).replace('T', ' ')} UTC`;

/**
 * The development certificate, kept good for as long as `npm start` runs: browsers take none that is valid for more than
 * two weeks. After a renewal the old hash stands beside the new one, since backends take the new files a moment later.
 */
export class DevelopmentCertificate implements ServedCertificate {
  readonly #directory: string;
  readonly #nowEpochMs: () => number;
  #current: StoredCertificate;
  #previous: StoredCertificate | undefined;

  /** Makes the certificate if there is no good one. */
  constructor(directory: string, nowEpochMs: () => number = Date.now) {
    this.#directory = directory;
    this.#nowEpochMs = nowEpochMs;
    this.#current = ensureDevelopmentCertificate(directory, { now: nowEpochMs() });
  }

  get certificate(): string {
    return this.#current.certificatePath;
  }

  get key(): string {
    return this.#current.keyPath;
  }

  get description(): string {
    return `development certificate, ${until(this.#current)}`;
  }

  hashes(): readonly string[] {
    const { sha256Hex } = this.#current;
    return this.#previous === undefined ? [sha256Hex] : [sha256Hex, this.#previous.sha256Hex];
  }

  /** Renews it when it ends soon, and notices when somebody else did. Gives the news, if there is any. */
  refresh(): string | undefined {
    const next = ensureDevelopmentCertificate(this.#directory, { now: this.#nowEpochMs() });
    if (next.sha256Hex === this.#current.sha256Hex) return undefined;
    this.#previous = this.#current;
    this.#current = next;
    return `renewed, ${until(next)}; running calls go on`;
  }
}

/** A certificate of the user's own, which browsers trust; `undefined` when none is given. Throws `StartupError`. */
export function ownCertificate(
  certificate: string | undefined,
  key: string | undefined,
): ServedCertificate | undefined {
  if ((certificate === undefined) !== (key === undefined))
    throw new StartupError('--cert and --key belong together: give both or none.');
  if (certificate === undefined || key === undefined) return undefined;
  for (const path of [certificate, key])
    if (!existsSync(path)) throw new StartupError(`certificate: there is no file ${path}.`);
  return { certificate, key, hashes: () => [], description: certificate };
}
