import { createPrivateKey } from 'node:crypto';
import type { ConnectionIdGenerator, RandomSource } from '../../proto/quic/index.ts';
import type { TlsCertificate } from '../../proto/tls/index.ts';

/** Self-signed Ed25519 certificate for `localhost`, valid for a hundred years: its signatures are deterministic, so runs replay. */
const CERTIFICATE =
  'MIIBVTCCAQegAwIBAgIUaOvv0M3Hp1OKOtQZLWIsukAZvq0wBQYDK2VwMBQxEjAQBgNVBAMMCWxvY2FsaG9zdDAgFw0yNjExMjEwODE2MjRaGA8yMTI2MTAyODA4MTYyNFowFDESMBAGA1UEAwwJbG9jYWxob3N0MCowBQYDK2VwAyEAoaA1p1ZwDpamp7bWPH57xuDUSZpRe3AftVKr2DC9I4GjaTBnMB0GA1UdDgQWBBR+HEXZnHxQJkCjPa/ppHWdj4euXjAfBgNVHSMEGDAWgBR+HEXZnHxQJkCjPa/ppHWdj4euXjAPBgNVHRMBAf8EBTADAQH/MBQGA1UdEQQNMAuCCWxvY2FsaG9zdDAFBgMrZXADQQAaSyLketop6AG0aai75JmigF2xliIV4GSbHsZec+Em9GcYM6AW2i5rKf4Ksigzbhd8UmCfA6zD1oyXIHwGFDcH';
const PRIVATE_KEY = 'MC4CAQAwBQYDK2VwBCIEID86rHxkuLCSI1QFM94B21IJ2UN8sDMSwTsetPE5K/Z3';

export const testCertificate: TlsCertificate = {
  chain: [new Uint8Array(Buffer.from(CERTIFICATE, 'base64'))],
  privateKey: createPrivateKey({ key: Buffer.from(PRIVATE_KEY, 'base64'), format: 'der', type: 'pkcs8' }),
};

/** mulberry32: a seeded generator of numbers in [0, 1). */
export function seededNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function seededRandom(seed: number): RandomSource {
  const next = seededNumbers(seed);
  return (length) => {
    const out = new Uint8Array(length);
    for (let i = 0; i < length; i++) out[i] = Math.floor(next() * 256);
    return out;
  };
}

export function randomConnectionIds(random: RandomSource, length = 8): ConnectionIdGenerator {
  return { length, generate: () => random(length) };
}
