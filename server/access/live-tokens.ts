import { createLocalJWKSet, type JSONWebKeySet } from 'jose';
import type { Logger } from 'pino';
import { FileWatch } from '../../net/file-watch.ts';
import { readFileOrStop } from '../../net/files.ts';
import { StartupError } from '../../net/startup.ts';
import { parseJson } from '../../proto/wire/index.ts';
import type { AuthConfig } from './config.ts';
import { readSecret } from './secret.ts';
import { type TokenPolicy, type TokenVerdict, TokenVerifier } from './tokens.ts';

/** Decides on tokens. */
export interface Tokens {
  /** Never rejects, whatever the token is. */
  verify(token: string | undefined): Promise<TokenVerdict>;
}

function readJwks(file: string): JSONWebKeySet {
  const where = `auth.jwks: ${file}`;
  const json = parseJson(readFileOrStop(file, 'auth.jwks'));
  if (!json.ok)
    throw new StartupError(`${where} is not JSON: look at line ${json.line}, column ${json.column}.`);
  const set = json.value as JSONWebKeySet;
  try {
    createLocalJWKSet(set);
  } catch {
    throw new StartupError(`${where} is no JWKS: it needs "keys", a list of objects.`);
  }
  if (set.keys.length === 0) throw new StartupError(`${where} holds no key.`);
  return set;
}

function readKeys({ secret, jwks }: AuthConfig, env: NodeJS.ProcessEnv): TokenPolicy['keys'] {
  if (secret !== undefined) return { secret: readSecret(secret, env) };
  if (jwks?.url !== undefined) return { jwksUrl: new URL(jwks.url) };
  return { jwks: readJwks(jwks?.file ?? '') };
}

/** Checks tokens as the configuration says. A secret or key set in a file is read again when the file changes. */
export class LiveTokens implements Tokens {
  readonly #auth: AuthConfig;
  readonly #env: NodeJS.ProcessEnv;
  readonly #log: Logger;
  readonly #nowEpochMs: () => number;
  readonly #file: string | undefined;
  readonly #watch: FileWatch | undefined;
  #verifier: TokenVerifier;

  /** Throws `StartupError` when the secret or the key set is not good. */
  constructor(auth: AuthConfig, env: NodeJS.ProcessEnv, log: Logger, nowEpochMs: () => number = Date.now) {
    this.#auth = auth;
    this.#env = env;
    this.#log = log;
    this.#nowEpochMs = nowEpochMs;
    this.#file = auth.secret?.file ?? auth.jwks?.file;
    this.#verifier = this.#load();
    this.#watch = this.#file === undefined ? undefined : new FileWatch([this.#file], () => this.reload());
  }

  verify(token: string | undefined): Promise<TokenVerdict> {
    return this.#verifier.verify(token);
  }

  /** Reads the file again. One with a fault is not used, and the log says why: the old keys stay. */
  reload(): void {
    if (this.#file === undefined) return;
    try {
      this.#verifier = this.#load();
      this.#log.info({ file: this.#file }, 'keys of tokens read again');
    } catch (error) {
      this.#log.error(`The new keys are not used, the old ones stay: ${(error as Error).message}`);
    }
  }

  close(): void {
    this.#watch?.close();
  }

  #load(): TokenVerifier {
    const { issuer, audience, leewaySeconds } = this.#auth;
    const keys = readKeys(this.#auth, this.#env);
    return new TokenVerifier({ keys, issuer, audience, leewaySeconds }, this.#nowEpochMs);
  }
}
