import { describe, expect, it } from 'vitest';
import { parseBackendConfig } from '../../../server/config.ts';

const REQUIRED = {
  name: 'backend-1',
  certificate: 'certificate.pem',
  key: 'key.pem',
  upstream: { kind: 'openai' },
};

describe('the backend key "retry"', () => {
  it('asks newcomers for their address only under load, unless told otherwise', () => {
    expect(parseBackendConfig(REQUIRED, 'test').retry).toBe('under-load');
  });

  it('takes "always"', () => {
    expect(parseBackendConfig({ ...REQUIRED, retry: 'always' }, 'test').retry).toBe('always');
  });

  it('names itself in the fault when it is anything else', () => {
    expect(() => parseBackendConfig({ ...REQUIRED, retry: true }, 'test')).toThrow(/"retry"/);
  });
});
