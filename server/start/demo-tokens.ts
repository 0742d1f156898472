import { randomBytes } from 'node:crypto';
import { mintToken } from '../access/index.ts';

const ISSUER = 'parley-start';
const AUDIENCE = 'parley';
/** The page asks for one before each dial. */
const TTL_SECONDS = 60;

/** Tokens of the demo page. The secret is made anew at each `npm start`, for its own backends alone. */
export class DemoTokens {
  readonly #secret = new Uint8Array(randomBytes(32));

  /** The secret as backends read it from a file. */
  get written(): string {
    return `hex:${Buffer.from(this.#secret).toString('hex')}\n`;
  }

  /** `auth` of a backend's file, with the secret in `file`. */
  auth(file: string) {
    return { secret: { file }, issuer: ISSUER, audience: AUDIENCE };
  }

  /** A token for all who can load the page: one subject, without limits. */
  mint(): Promise<string> {
    const options = { subject: 'demo', ttlSeconds: TTL_SECONDS, issuer: ISSUER, audience: AUDIENCE };
    return mintToken(this.#secret, options);
  }
}
