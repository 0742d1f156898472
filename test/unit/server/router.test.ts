import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { type BackendConfigInput, parseBackendConfig } from '../../../server/config.ts';
import type { BackendMetrics } from '../../../server/metrics.ts';
import { SessionRouter } from '../../../server/router.ts';
import type { SessionRequest, WebTransportSession } from '../../../server/webtransport/index.ts';

const REQUIRED = {
  name: 'backend-1',
  certificate: 'certificate.pem',
  key: 'key.pem',
  upstream: { kind: 'openai' },
} as const;
const metrics = {
  sessions: { set: () => {} },
  sessionsTotal: { inc: () => {} },
} as unknown as BackendMetrics;

function router(options: Partial<BackendConfigInput> = {}) {
  const config = parseBackendConfig({ ...REQUIRED, ...options }, 'test');
  const log = pino({ level: 'silent' });
  return new SessionRouter(
    config,
    () => '00',
    metrics,
    log,
    () => Promise.resolve(),
    () => {},
  );
}

const ask = (made: SessionRouter, host: string, origin?: string) =>
  made.decide({
    path: '/voice',
    query: new URLSearchParams(),
    authority: 'localhost',
    origin,
    headers: [],
    protocols: [],
    remoteAddress: { host, port: 1 },
  } as SessionRequest);

const outcomes = (made: SessionRouter, hosts: readonly string[]) =>
  hosts.map((host) => {
    const decision = ask(made, host);
    return 'refuse' in decision ? decision.refuse : 200;
  });

describe('limits of calls', () => {
  it('hold for calls that are asked for at once, before any of them has begun', () => {
    expect(outcomes(router({ sessionsPerAddress: 2 }), Array(4).fill('192.0.2.1'))).toEqual([
      200, 200, 429, 429,
    ]);
    const hosts = ['192.0.2.1', '192.0.2.2', '192.0.2.3'];
    const full = router({ maxSessions: 2 });
    expect(outcomes(full, hosts)).toEqual([200, 200, 503]);
    expect(full.full).toBe(true);
  });

  it('forget a call whose client was gone before it began, and one that ended', async () => {
    const made = router({ sessionsPerAddress: 1 });
    ask(made, '192.0.2.1');
    await new Promise((resolve) => setImmediate(resolve));
    const decision = ask(made, '192.0.2.1');
    if ('refuse' in decision) throw new Error('refused');
    let end: (info: { closeCode: number; reason: string }) => void = () => {};
    const closed = new Promise<{ closeCode: number; reason: string }>((resolve) => {
      end = resolve;
    });
    decision.accept({ request: { path: '/voice' }, closed } as unknown as WebTransportSession);
    await new Promise((resolve) => setImmediate(resolve));
    expect([made.sessions, ...outcomes(made, ['192.0.2.1'])]).toEqual([1, 429]);
    end({ closeCode: 0, reason: '' });
    await new Promise((resolve) => setImmediate(resolve));
    expect([made.sessions, ...outcomes(made, ['192.0.2.1'])]).toEqual([0, 200]);
  });

  it('count an IPv6 caller by the /64 that is theirs to choose from, an IPv4 caller by the address', () => {
    const hosts = [
      '2001:db8::1',
      '2001:db8::ffff:2',
      '2001:db8:0:1::1',
      '::ffff:192.0.2.1',
      '::ffff:192.0.2.2',
    ];
    expect(outcomes(router({ sessionsPerAddress: 1 }), hosts)).toEqual([200, 429, 200, 200, 200]);
  });
});

describe('origins', () => {
  it('are taken as they stand in the list; a program sends none and is bound by none', () => {
    const made = router({ origins: ['https://voice.example'] });
    const outcome = (origin?: string) => 'accept' in ask(made, '192.0.2.1', origin);
    expect(outcome('https://voice.example')).toBe(true);
    expect(outcome(undefined)).toBe(true);
    for (const other of [
      'https://voice.example.evil',
      'http://voice.example',
      'https://voice.example:444',
      'null',
      '',
    ])
      expect(outcome(other), other).toBe(false);
  });

  it('that could match no page are refused at the start', () => {
    for (const origin of [
      'https://voice.example/',
      'https://Voice.example',
      'voice.example',
      'https://a.b/c',
    ]) {
      const parse = () => parseBackendConfig({ ...REQUIRED, origins: [origin] }, 'test');
      expect(parse, origin).toThrow(/"origins.0": must be an origin without a path/);
    }
    expect(
      parseBackendConfig({ ...REQUIRED, origins: ['*', 'http://localhost:8080'] }, 'test').origins,
    ).toHaveLength(2);
  });
});

describe('/healthz', () => {
  const health = (made: SessionRouter) => {
    const { status, body } = made.health();
    return { ...(JSON.parse(body) as { status: string; reason?: string }), code: status };
  };

  it('says 503 and why when newcomers are not taken, and 200 again when they are', () => {
    const made = router({ maxSessions: 2, maxConnections: 7 });
    expect(health(made)).toMatchObject({ code: 200, status: 'ok' });
    made.connectionsFull = true;
    expect(made.full).toBe(true);
    expect(health(made)).toMatchObject({ code: 503, status: 'full' });
    expect(health(made).reason).toMatch(/^All 7 connections are in use .*\.$/);
    made.connectionsFull = false;
    expect(health(made)).toMatchObject({ code: 200, status: 'ok' });
    outcomes(made, ['192.0.2.1', '192.0.2.2']);
    expect(health(made)).toMatchObject({ code: 503, status: 'full' });
    expect(health(made).reason).toMatch(/^All 2 sessions are in use .*\.$/);
    made.draining = true;
    expect(health(made)).toMatchObject({ code: 503, status: 'draining' });
  });
});
