import { describe, expect, test, vi } from 'vitest';
import type { ConnectionState } from '../../../proto/quic/connection/state.ts';
import { handleDeadline, nextDeadline, TIMERS } from '../../../proto/quic/connection/timers.ts';
import { DeadlineHeap } from '../../../proto/quic/endpoint/deadline-heap.ts';
import { QuicEndpoint } from '../../../proto/quic/index.ts';
import { liveClient, liveServer } from '../../support/conformance-peer.ts';
import { randomConnectionIds, seededRandom } from '../../support/quic-fixtures.ts';

const timer = (name: string) => TIMERS.find((one) => one.name === name)!;

describe('the table of timers', () => {
  test('names each once', () => {
    expect(new Set(TIMERS.map(({ name }) => name)).size).toBe(TIMERS.length);
  });

  test('the deadline is the least of those that run', () => {
    const { engine, peer } = liveServer({}, { keepAliveIntervalMs: 700, maxIdleTimeoutMs: 9_000 });
    peer.autoAck = false;
    engine.connection.ping();
    peer.run(1);
    const times = TIMERS.filter(({ during }) => during === 'open').flatMap(
      ({ at }) => at(engine.state) ?? [],
    );
    expect(times.length).toBeGreaterThanOrEqual(3);
    expect(nextDeadline(engine.state)).toBe(Math.min(...times));
  });

  // Each timer as the only one that runs.
  const quiet = {
    close: { isOpen: true },
    idle: { deadline: () => undefined, keepAliveAt: () => undefined, halfDeadline: () => undefined },
    recovery: { ptoMs: () => 1, deadline: () => undefined, hasAckElicitingInFlight: () => false },
    handshake: { complete: true, deadline: () => undefined },
    config: { keepAliveIntervalMs: 1, handshakeTimeoutMs: 1 },
    streams: { isBlocked: true, hasPending: () => false },
    spaces: [{}, {}, { pingDue: false, ack: { deadline: () => undefined } }],
    keys: { application: { dropPreviousAt: undefined } },
    localIds: { lingeringDeadline: undefined },
    paths: { deadline: () => undefined },
    amplificationLimited: false,
    pacedUntil: undefined,
  };
  const alone: Record<string, object> = {
    idle: { idle: { ...quiet.idle, deadline: () => 5 } },
    handshake: { handshake: { complete: false, deadline: () => 5 } },
    pacer: { pacedUntil: 5 },
    'keep-alive': { idle: { ...quiet.idle, keepAliveAt: () => 5 } },
    blocked: { idle: { ...quiet.idle, halfDeadline: () => 5 } },
    ack: { spaces: [{}, {}, { pingDue: false, ack: { deadline: () => 5 } }] },
    'retired-ids': { localIds: { lingeringDeadline: 5 } },
    'previous-keys': { keys: { application: { dropPreviousAt: 5 } } },
    paths: { paths: { deadline: () => 5 } },
    recovery: { recovery: { ...quiet.recovery, deadline: () => 5 } },
  };

  test.each(TIMERS.filter(({ during }) => during === 'open').map(({ name }) => name))(
    'the deadline reckons with "%s", as the table does',
    (name) => {
      expect(nextDeadline(quiet as unknown as ConnectionState)).toBeUndefined();
      const state = { ...quiet, ...alone[name]! } as unknown as ConnectionState;
      expect(timer(name).at(state)).toBe(5);
      expect(nextDeadline(state)).toBe(5);
    },
  );

  test('only the close timer runs once the connection is closing, and ends it', () => {
    const { engine, peer } = liveServer();
    engine.connection.close(7, 'bye');
    peer.run(1);
    const at = timer('close').at(engine.state)!;
    expect(nextDeadline(engine.state)).toBe(at);
    handleDeadline(engine.state, at - 1);
    expect(engine.state.close.phase).toBe('closing');
    handleDeadline(engine.state, at);
    expect(engine.state.close.phase).toBe('closed');
    expect(nextDeadline(engine.state)).toBeUndefined();
  });

  test('nothing fires after one that ends the connection', () => {
    const { engine, peer } = liveServer({}, { keepAliveIntervalMs: 700, maxIdleTimeoutMs: 9_000 });
    peer.autoAck = false;
    const at = timer('idle').at(engine.state)!;
    handleDeadline(engine.state, at);
    expect(engine.state.close.reason).toEqual({ kind: 'idle-timeout' });
    expect(engine.state.spaces[2].pingDue).toBe(false);
  });

  test('a timer that fired does not stay due, once what it queued is sent', () => {
    const { engine, peer } = liveClient({}, { keepAliveIntervalMs: 700, maxIdleTimeoutMs: 9_000 });
    const at = timer('keep-alive').at(engine.state)!;
    handleDeadline(engine.state, at);
    expect(timer('keep-alive').at(engine.state)).toBeUndefined();
    peer.run(at);
    expect(timer('keep-alive').at(engine.state)!).toBeGreaterThan(at);
  });
});

test('deadline() of an endpoint is a pure read: it schedules nothing, and tells of connections that wait to send', () => {
  const random = seededRandom(1);
  const endpoint = new QuicEndpoint({ random, connectionIdGenerator: randomConnectionIds(random) });
  const schedule = vi.spyOn(DeadlineHeap.prototype, 'schedule');
  const connection = endpoint.connect(
    { remote: { host: '10.0.0.1', port: 1 }, serverName: 'x', alpnProtocols: ['t'], trust: { kind: 'any' } },
    0,
  );
  const at = connection.deadline();
  expect(at).toBe(999);
  expect(endpoint.deadline()).toBe(at);
  expect(schedule).not.toHaveBeenCalled();
  // The handshake times out though its datagrams were never taken.
  endpoint.onDeadline(10_000);
  expect(connection.closed).toBe(true);
  vi.restoreAllMocks();
});
