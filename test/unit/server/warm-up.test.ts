import { describe, expect, it } from 'vitest';
import { createDevelopmentCertificate } from '../../../certs/index.ts';
import { warmUp } from '../../../server/warm-up.ts';

describe('warming up', () => {
  it('completes handshakes with a certificate and its key', () => {
    const { der, privateKey } = createDevelopmentCertificate({ now: new Date(), hosts: ['localhost'] });
    expect(warmUp({ chain: [der], privateKey })).toBe(true);
  });

  it('fails with a key that does not belong to the certificate', () => {
    const { der } = createDevelopmentCertificate({ now: new Date(), hosts: ['localhost'] });
    const { privateKey } = createDevelopmentCertificate({ now: new Date(), hosts: ['localhost'] });
    expect(warmUp({ chain: [der], privateKey })).toBe(false);
  });
});
