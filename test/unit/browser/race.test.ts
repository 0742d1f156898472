import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import {
  HEAD_START_MS,
  Race,
  type RaceSetting,
  REMEMBER_MS,
  TCP_AFTER_MS,
  UPGRADE_STEPS_MS,
  udpFailedLately,
} from '../../../browser/carriers/race.ts';
import { race, retryWebTransport } from '../../../browser/carriers/run-race.ts';

const BOTH: RaceSetting = {
  hasWebTransport: true,
  hasTcp: true,
  udpFailedAtEpochMs: undefined,
  nowEpochMs: 1e12,
};
const dial = (carrier: 'webtransport' | 'tcp', spare = false) => ({ type: 'dial', carrier, spare });
const WIN_TCP = [
  { type: 'win', carrier: 'tcp' },
  { type: 'close', carrier: 'webtransport' },
  { type: 'remember', udpFails: true },
];

describe('the race of carriers', () => {
  test('dials WebTransport first, and TCP after half a second without an answer', () => {
    const machine = new Race(BOTH);
    expect(machine.start(100)).toEqual([dial('webtransport')]);
    expect(machine.deadline).toBe(100 + TCP_AFTER_MS);
    expect(machine.passed(99 + TCP_AFTER_MS)).toEqual([]);
    expect(machine.passed(100 + TCP_AFTER_MS)).toEqual([dial('tcp', true)]);
    expect(machine.deadline).toBeUndefined();
    expect(machine.passed(100 + HEAD_START_MS)).toEqual([]);
  });

  test('a session over TCP is held until the head start is over, or WebTransport failed', () => {
    const machine = new Race(BOTH);
    machine.start(0);
    machine.passed(TCP_AFTER_MS);
    expect(machine.ready('tcp', 700)).toEqual([]);
    expect(machine.deadline).toBe(HEAD_START_MS);
    expect(machine.passed(HEAD_START_MS - 1)).toEqual([]);
    expect(machine.passed(HEAD_START_MS)).toEqual(WIN_TCP);
    const refused = new Race(BOTH);
    refused.start(0);
    refused.passed(TCP_AFTER_MS);
    refused.ready('tcp', 700);
    expect(refused.failed('webtransport')).toEqual([
      { type: 'win', carrier: 'tcp' },
      { type: 'remember', udpFails: true },
    ]);
  });

  test('WebTransport that answers within its head start wins over a session that is held', () => {
    const machine = new Race(BOTH);
    machine.start(0);
    machine.passed(TCP_AFTER_MS);
    machine.ready('tcp', 700);
    expect(machine.ready('webtransport', 900)).toEqual([
      { type: 'win', carrier: 'webtransport' },
      { type: 'close', carrier: 'tcp' },
      { type: 'remember', udpFails: false },
    ]);
  });

  test('a session that ends while it is held is none', () => {
    const machine = new Race(BOTH);
    machine.start(0);
    machine.passed(TCP_AFTER_MS);
    machine.ready('tcp', 700);
    expect(machine.failed('tcp')).toEqual([]);
    expect(machine.passed(HEAD_START_MS)).toEqual([]);
    expect(machine.failed('webtransport')).toEqual([{ type: 'fail', carrier: 'webtransport' }]);
  });

  test('dials TCP at once where WebTransport fails at once', () => {
    const machine = new Race(BOTH);
    machine.start(0);
    expect(machine.failed('webtransport')).toEqual([dial('tcp')]);
  });

  test('dials TCP alone in a browser without WebTransport, and both at once where UDP failed lately', () => {
    expect(new Race({ ...BOTH, hasWebTransport: false }).start(0)).toEqual([dial('tcp')]);
    const lately = { ...BOTH, udpFailedAtEpochMs: BOTH.nowEpochMs - REMEMBER_MS + 1 };
    expect(new Race(lately).start(0)).toEqual([dial('webtransport'), dial('tcp', true)]);
    expect(new Race({ ...lately, udpFailedAtEpochMs: BOTH.nowEpochMs - REMEMBER_MS }).start(0)).toEqual([
      dial('webtransport'),
    ]);
  });

  test('the first that is ready wins, and the other is closed, ready or not', () => {
    const machine = new Race(BOTH);
    machine.start(0);
    machine.passed(TCP_AFTER_MS);
    expect(machine.ready('tcp', HEAD_START_MS)).toEqual(WIN_TCP);
    expect(machine.ready('webtransport', HEAD_START_MS)).toEqual([
      { type: 'close', carrier: 'webtransport' },
    ]);
    expect(machine.failed('webtransport')).toEqual([]);
  });

  test('WebTransport that comes through makes a failure forgotten', () => {
    const machine = new Race(BOTH);
    machine.start(0);
    expect(machine.ready('webtransport', 0)).toEqual([
      { type: 'win', carrier: 'webtransport' },
      { type: 'remember', udpFails: false },
    ]);
    expect(machine.deadline).toBeUndefined();
  });

  test('fails when both did, with the error of WebTransport where there is one', () => {
    const machine = new Race(BOTH);
    machine.start(0);
    machine.failed('webtransport');
    expect(machine.failed('tcp')).toEqual([{ type: 'fail', carrier: 'webtransport' }]);
    const alone = new Race({ ...BOTH, hasWebTransport: false });
    alone.start(0);
    expect(alone.failed('tcp')).toEqual([{ type: 'fail', carrier: 'tcp' }]);
  });

  test('without a place for TCP it is WebTransport or nothing', () => {
    const machine = new Race({ ...BOTH, hasTcp: false });
    expect(machine.start(0)).toEqual([dial('webtransport')]);
    expect(machine.deadline).toBeUndefined();
    expect(machine.failed('webtransport')).toEqual([{ type: 'fail', carrier: 'webtransport' }]);
  });

  test('a failure in the future, by a clock that was set back, is not believed', () => {
    expect(udpFailedLately(2000, 1000)).toBe(false);
    expect(udpFailedLately(1000, 1000)).toBe(true);
    expect(udpFailedLately(undefined, 1000)).toBe(false);
  });
});

class Session {
  #settle = () => {};
  readonly closed = new Promise<void>((resolve) => {
    this.#settle = resolve;
  });
  isClosed = false;
  close() {
    this.isClosed = true;
    this.#settle();
  }
}

describe('the race as it is run', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());
  const after = (ms: number, session: Session) => () =>
    new Promise<Session>((resolve) => setTimeout(() => resolve(session), ms));
  const never = () => new Promise<Session>(() => {});
  const place = 'https://voice.example';
  const signal = new AbortController().signal;

  test('TCP carries the call where UDP is silent, and is remembered by place', async () => {
    const kept = new Map<string, string>();
    const store = {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, value: string) => void kept.set(key, value),
      removeItem: (key: string) => void kept.delete(key),
    };
    const tcp = new Session();
    let aborted = false;
    const silent = (stop: AbortSignal) => {
      stop.addEventListener('abort', () => {
        aborted = true;
      });
      return never();
    };
    const first = race({ webTransport: silent, tcp: after(100, tcp), place, store, signal });
    await vi.advanceTimersByTimeAsync(HEAD_START_MS - 1);
    expect(kept.size).toBe(0);
    await vi.advanceTimersByTimeAsync(2);
    expect(await first).toEqual({ session: tcp, carrier: 'tcp' });
    expect(aborted).toBe(true);
    const second = race({ webTransport: never, tcp: after(100, tcp), place, store, signal });
    await vi.advanceTimersByTimeAsync(101);
    expect((await second).carrier).toBe('tcp');
    const other = race({
      webTransport: never,
      tcp: after(100, tcp),
      place: 'https://b.example',
      store,
      signal,
    });
    const told = vi.fn();
    void other.then(told);
    await vi.advanceTimersByTimeAsync(500);
    expect(told).not.toHaveBeenCalled();
  });

  test('the loser that is ready late is closed', async () => {
    const [udp, tcp] = [new Session(), new Session()];
    const raced = race({ webTransport: after(1500, udp), tcp: after(100, tcp), place, signal });
    await vi.advanceTimersByTimeAsync(2000);
    expect((await raced).carrier).toBe('tcp');
    expect([udp.isClosed, tcp.isClosed]).toEqual([true, false]);
  });

  test('ends with its signal', async () => {
    const abort = new AbortController();
    const late = new Session();
    const raced = race({ webTransport: after(500, late), tcp: never, place, signal: abort.signal });
    raced.catch(() => {});
    abort.abort(new Error('hung up'));
    await expect(raced).rejects.toThrow('hung up');
    await vi.advanceTimersByTimeAsync(600);
    expect(late.isClosed).toBe(true);
  });

  test('a session that ends while it is held carries no call', async () => {
    const tcp = new Session();
    const udp = new Session();
    const raced = race({ webTransport: after(3000, udp), tcp: after(100, tcp), place, signal });
    await vi.advanceTimersByTimeAsync(TCP_AFTER_MS + 150);
    tcp.close();
    await vi.advanceTimersByTimeAsync(3000);
    expect(await raced).toEqual({ session: udp, carrier: 'webtransport' });
  });

  test('WebTransport is tried again in steps, and when the network is another, until it works', async () => {
    const events = new EventTarget();
    const session = new Session();
    let works = false;
    const attempts = vi.fn(async () => {
      if (!works) throw new Error('no UDP');
      return session;
    });
    const moved = vi.fn();
    retryWebTransport(attempts, moved, signal, [[events, 'online']]);
    for (const [i, step] of [...UPGRADE_STEPS_MS, UPGRADE_STEPS_MS.at(-1)!].entries()) {
      await vi.advanceTimersByTimeAsync(step - 1);
      expect(attempts).toHaveBeenCalledTimes(i);
      await vi.advanceTimersByTimeAsync(1);
      expect(attempts).toHaveBeenCalledTimes(i + 1);
    }
    events.dispatchEvent(new Event('online'));
    await vi.advanceTimersByTimeAsync(UPGRADE_STEPS_MS[0] - 1);
    expect(attempts).toHaveBeenCalledTimes(UPGRADE_STEPS_MS.length + 2);
    works = true;
    await vi.advanceTimersByTimeAsync(1);
    expect(moved).toHaveBeenCalledExactlyOnceWith(session);
    await vi.advanceTimersByTimeAsync(120_000);
    expect(attempts).toHaveBeenCalledTimes(UPGRADE_STEPS_MS.length + 3);
  });
});
