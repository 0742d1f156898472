import { readFileOrStop } from '../../net/files.ts';
import { StartupError } from '../../net/startup.ts';
import { fromHex } from '../../proto/wire/index.ts';
import { MIN_SECRET_OCTETS } from './tokens.ts';

/** The environment variable that the command line, and the documentation, keep the secret in. */
export const TOKEN_SECRET_VARIABLE = 'PARLEY_TOKEN_SECRET';

/** Where a secret is: one of the two. */
export interface SecretSource {
  readonly env?: string | undefined;
  readonly file?: string | undefined;
}

/** Base64 and base64url, padded or not. */
const BASE64 = /^[\w+/-]+={0,2}$/;

/** What a written secret stands for; undefined when its digits are none. */
export function decodeSecret(text: string): Uint8Array | undefined {
  if (text.startsWith('hex:')) return fromHex(text.slice(4));
  if (!text.startsWith('base64:')) return new TextEncoder().encode(text);
  const digits = text.slice(7);
  return BASE64.test(digits) ? new Uint8Array(Buffer.from(digits, 'base64')) : undefined;
}

/**
 * The octets of a secret as it is written: `hex:` or `base64:` and the digits, or else the text itself in UTF-8, which is what
 * JWT libraries take a text for. White space around it does not count: files end in a line feed. Throws `StartupError`, which
 * never repeats the secret; `where` says where it was.
 */
export function parseSecret(written: string, where: string): Uint8Array {
  const octets = decodeSecret(written.trim());
  if (octets === undefined)
    throw new StartupError(`${where} begins with "hex:" or "base64:", and what follows is not that.`);
  if (octets.length < MIN_SECRET_OCTETS)
    throw new StartupError(
      `${where} is a secret of ${octets.length} octets; tokens need ${MIN_SECRET_OCTETS} at least: make one with "openssl rand -hex 32".`,
    );
  return octets;
}

/** Reads the secret from the environment or its file. Throws `StartupError`. */
export function readSecret({ env: variable, file }: SecretSource, env: NodeJS.ProcessEnv): Uint8Array {
  if (file !== undefined) return parseSecret(readFileOrStop(file, 'auth.secret'), `auth.secret: ${file}`);
  const name = variable ?? TOKEN_SECRET_VARIABLE;
  const written = env[name];
  if (written === undefined || written.trim() === '')
    throw new StartupError(`auth.secret: ${name} is not set; set it to the secret that signs tokens.`);
  return parseSecret(written, `auth.secret: ${name}`);
}
