import { createDevelopmentCertificate } from '../../certs/index.ts';

/** A certificate for localhost and `others`, PEM. */
export function testCertificate(others: readonly string[] = []): { certificate: string; key: string } {
  const hosts = ['localhost', '127.0.0.1', '::1', ...others];
  const { certificatePem, keyPem } = createDevelopmentCertificate({ now: Date.now(), hosts });
  return { certificate: certificatePem, key: keyPem };
}

/** A steady voice: PCM16 samples of a tone with a little vibrato, or silence at level 0. */
export function tone(ms: number, level = 0.3, hz = 220): Int16Array {
  const samples = new Int16Array((ms * 24_000) / 1000);
  for (let i = 0; i < samples.length; i++) {
    samples[i] = Math.round(Math.sin((2 * Math.PI * hz * i) / 24_000) * level * 32_767);
  }
  return samples;
}

/** Joins runs of samples. */
export function joinSamples(...parts: readonly Int16Array[]): Int16Array {
  const out = new Int16Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Waits until `condition` holds; fails after `timeoutMs` with `what`. */
export async function until(condition: () => boolean, what: string, timeoutMs = 5_000): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
