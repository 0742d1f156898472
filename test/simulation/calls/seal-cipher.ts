import { createHmac } from 'node:crypto';
import type { SealCipher } from '../../../server/call/index.ts';

/** Authenticates and encrypts nothing: what it gives is the same each time, and at once, which JWE's random nonce is not. */
export const REPEATABLE_CIPHER: SealCipher = {
  async encrypt(kind, key, plaintext) {
    const body = Buffer.from(plaintext).toString('base64url');
    return `${kind}.${body}.${tagOf(kind, key, body)}`;
  },
  async decrypt(kind, key, sealed) {
    const [named, body, tag] = sealed.split('.');
    if (named !== kind || body === undefined || tag !== tagOf(kind, key, body)) return undefined;
    return new Uint8Array(Buffer.from(body, 'base64url'));
  },
};

function tagOf(kind: string, key: Uint8Array, body: string): string {
  return createHmac('sha256', key).update(`${kind}.${body}`).digest('base64url');
}
