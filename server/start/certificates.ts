import { DEFAULT_HOSTS, ensureDevelopmentCertificate, type StoredCertificate } from '../../certs/index.ts';
import { folderFault } from '../../net/files.ts';
import { StartupError } from '../../net/startup.ts';
import { loadCertificate } from '../tls-certificate.ts';

/** The sentence for a `--directory` that cannot be used. */
export function directoryFault(directory: string, error: unknown): StartupError {
  return new StartupError(
    `--directory: cannot write into ${directory}: ${folderFault(error)}; name another folder.`,
  );
}

/** The certificate that is presented to browsers. */
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
  readonly #hosts: readonly string[];
  readonly #nowEpochMs: () => number;
  #current: StoredCertificate;
  #previous: StoredCertificate | undefined;

  /**
   * Makes the certificate if there is no good one for localhost and `addresses`. Throws `StartupError` when the directory
   * cannot be written.
   */
  constructor(directory: string, addresses: readonly string[] = [], nowEpochMs: () => number = Date.now) {
    this.#directory = directory;
    this.#hosts = [...new Set([...DEFAULT_HOSTS, ...addresses])];
    this.#nowEpochMs = nowEpochMs;
    try {
      this.#current = this.#ensure();
    } catch (error) {
      throw directoryFault(directory, error);
    }
  }

  #ensure(): StoredCertificate {
    return ensureDevelopmentCertificate(this.#directory, { now: this.#nowEpochMs(), hosts: this.#hosts });
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

  /** Renews it when it ends soon, and notices when another process did. Gives the news, if there is any. */
  refresh(): string | undefined {
    const next = this.#ensure();
    if (next.sha256Hex === this.#current.sha256Hex) return undefined;
    this.#previous = this.#current;
    this.#current = next;
    return `renewed, ${until(next)}; running calls go on`;
  }
}

/** A certificate of the user's own, which browsers trust; `undefined` when none is given. Throws `StartupError` when browsers would refuse it. */
export function ownCertificate(
  certificate: string | undefined,
  key: string | undefined,
): ServedCertificate | undefined {
  if (certificate === undefined || key === undefined) return undefined;
  loadCertificate(certificate, key, Date.now());
  return { certificate, key, hashes: () => [], description: certificate };
}
