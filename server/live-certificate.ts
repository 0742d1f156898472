import { X509Certificate } from 'node:crypto';
import type { Logger } from 'pino';
import { FileWatch } from '../net/file-watch.ts';
import { StartupError } from '../net/startup.ts';
import type { TlsCertificate } from '../proto/tls/index.ts';
import { loadCertificate } from './tls-certificate.ts';
import { handshakeSucceeds } from './warm-up.ts';

/**
 * The backend's certificate, read again when its files change: a renewal every few weeks is no reason to end calls. New
 * handshakes get the new one; calls in progress do not notice.
 */
export class LiveCertificate {
  readonly #certificatePath: string;
  readonly #keyPath: string;
  readonly #log: Logger;
  readonly #watch: FileWatch;
  #current: TlsCertificate;
  readonly #renewed: (() => void)[] = [];

  /** Throws `StartupError` when the certificate is not good. */
  constructor(certificatePath: string, keyPath: string, log: Logger) {
    this.#certificatePath = certificatePath;
    this.#keyPath = keyPath;
    this.#log = log;
    this.#current = this.#load();
    this.#watch = new FileWatch([certificatePath, keyPath], () => this.reload());
  }

  get current(): TlsCertificate {
    return this.#current;
  }

  /** The same as PEM, for Node's own TLS. */
  get pem(): { readonly cert: string; readonly key: string } {
    const { chain, privateKey } = this.#current;
    const cert = chain.map((der) => new X509Certificate(der).toString()).join('');
    return { cert, key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
  }

  /** Calls back whenever another certificate was taken up. */
  onRenewal(listener: () => void): void {
    this.#renewed.push(listener);
  }

  /** When it ends, in ms since 1970. */
  get notAfterEpochMs(): number {
    return Date.parse(new X509Certificate(this.#current.chain[0]!).validTo);
  }

  /** Reads the files again. A pair with a fault is not used, and the log says why: the old certificate stays. */
  reload(): void {
    try {
      this.#current = this.#load();
      for (const listener of this.#renewed) listener();
      const notAfter = new Date(this.notAfterEpochMs).toISOString();
      this.#log.info({ certificate: this.#certificatePath, notAfter }, 'certificate read again');
    } catch (error) {
      // Between the writing of two files the key does not fit: the next look finds both.
      this.#log.error(
        `The new certificate is not used, the old one stays: ${(error as Error).message.trim()}`,
      );
    }
  }

  /** Loads the pair and tries a handshake with it. Throws `StartupError`. */
  #load(): TlsCertificate {
    const { chain, privateKey, warnings } = loadCertificate(this.#certificatePath, this.#keyPath, Date.now());
    if (!handshakeSucceeds({ chain, privateKey }))
      throw new StartupError(`certificate: no handshake succeeds with ${this.#certificatePath} and its key.`);
    for (const warning of warnings) this.#log.warn(warning);
    return { chain, privateKey };
  }

  close(): void {
    this.#watch.close();
  }
}
