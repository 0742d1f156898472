import { describe, expect, test } from 'vitest';
import type { QuicConnection } from '../../../proto/quic/index.ts';
import { IdleConnections } from '../../../server/idle-connections.ts';

const at = (host: string) => ({ path: { remote: { host, port: 1 } } }) as unknown as QuicConnection;
const A = { host: '192.0.2.1', port: 9 };

function make() {
  const closed: [QuicConnection, string][] = [];
  const idle = new IdleConnections<QuicConnection>({ firstRequestMs: 100, idleMs: 1000 }, (connection, why) =>
    closed.push([connection, why]),
  );
  return { idle, closed };
}

describe('connections without a session', () => {
  test('are closed when no request comes in time, and later when requests were answered', () => {
    const { idle, closed } = make();
    const [silent, asking, calling] = [at('192.0.2.1'), at('192.0.2.1'), at('192.0.2.1')] as const;
    for (const connection of [silent, asking, calling]) idle.add(connection, 0);
    idle.rest(asking, 50);
    idle.remove(calling);
    idle.expire(99);
    expect(closed).toEqual([]);
    idle.expire(100);
    expect(closed).toEqual([[silent, 'no-request']]);
    idle.expire(1050);
    expect(closed.slice(1)).toEqual([[asking, 'idle']]);
    idle.rest(calling, 2000);
    idle.expire(3000);
    expect(closed.slice(2)).toEqual([[calling, 'idle']]);
    expect(idle.size).toBe(0);
  });

  test('give their place to a newcomer, the oldest first: of its network, or of any', () => {
    const { idle, closed } = make();
    const [other, first, second] = [at('192.0.2.2'), at('192.0.2.1'), at('192.0.2.1')] as const;
    for (const connection of [other, first, second]) idle.add(connection, 0);
    expect(idle.makeRoom('address', A)).toBe(true);
    expect(idle.makeRoom('total', A)).toBe(true);
    expect(idle.makeRoom('address', A)).toBe(true);
    expect(idle.makeRoom('address', A)).toBe(false);
    expect(idle.makeRoom('total', A)).toBe(false);
    expect(closed).toEqual([
      [first, 'address-full'],
      [other, 'backend-full'],
      [second, 'address-full'],
    ]);
  });

  test('of one /64 count together', () => {
    const { idle, closed } = make();
    const old = at('2001:db8::1');
    idle.add(old, 0);
    expect(idle.makeRoom('address', { host: '2001:db8:0:1::1', port: 1 })).toBe(false);
    expect(idle.makeRoom('address', { host: '2001:db8::ffff', port: 1 })).toBe(true);
    expect(closed).toEqual([[old, 'address-full']]);
  });
});
