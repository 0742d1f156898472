import { describe, expect, test } from 'vitest';
import { CubicController, NewRenoController, Pacer } from '../../../proto/quic/recovery/index.ts';

const SIZE = 1200;

describe.each([
  ['NewReno', (octets: number) => new NewRenoController(octets)],
  ['CUBIC', (octets: number) => new CubicController(octets)],
] as const)('%s', (_name, make) => {
  test('begins with ten datagrams, at most 14720 octets or two datagrams (RFC 9002 §7.2)', () => {
    expect(make(1200).windowOctets).toBe(12_000);
    expect(make(1472).windowOctets).toBe(14_720);
    expect(make(1500).windowOctets).toBe(14_720);
    expect(make(9000).windowOctets).toBe(18_000);
  });

  test('has another initial window with another datagram size, and keeps what it has learnt (RFC 9002 §7.2)', () => {
    const control = make(1400);
    control.setMaxDatagramOctets(1200);
    expect(control.windowOctets).toBe(12_000);
    control.setMaxDatagramOctets(1300);
    expect(control.windowOctets).toBe(13_000);
    control.onAcked(50_000, 1, 2, 50, true);
    control.setMaxDatagramOctets(1450);
    control.setMaxDatagramOctets(1200);
    expect(control.windowOctets).toBe(63_000);
  });

  test('is not opened by a black hole in the path MTU, however small losses made it (RFC 9002 §7.2)', () => {
    const control = make(1452);
    for (let at = 0; at < 10; at++) control.onCongestion(at * 10 + 5, at * 10 + 6);
    const window = control.windowOctets;
    control.setMaxDatagramOctets(1200);
    expect(control.windowOctets).toBe(window);
  });

  test('grows by what is acknowledged in slow start, and not when the window was not used (RFC 9002 §7.3.1 and §7.8)', () => {
    const control = make(SIZE);
    control.onAcked(3000, 1, 2, 50, true);
    expect(control.windowOctets).toBe(15_000);
    control.onAcked(3000, 1, 2, 50, false);
    expect(control.windowOctets).toBe(15_000);
  });

  test('never falls below two datagrams (RFC 9002 §7.2)', () => {
    const control = make(SIZE);
    for (let at = 0; at < 100; at++) control.onCongestion(at * 10 + 5, at * 10 + 6);
    expect(control.windowOctets).toBe(2 * SIZE);
    control.onPersistentCongestion();
    expect(control.windowOctets).toBe(2 * SIZE);
  });

  test('neither shrinks nor grows by packets sent before the recovery period (RFC 9002 §7.3.2)', () => {
    const control = make(SIZE);
    control.onCongestion(5, 10);
    const reduced = control.windowOctets;
    control.onCongestion(9, 11);
    control.onAcked(SIZE, 9, 12, 50, true);
    expect(control.windowOctets).toBe(reduced);
  });

  test('slow starts again after persistent congestion (RFC 9002 §7.6)', () => {
    const control = make(SIZE);
    control.onAcked(100_000, 1, 2, 50, true);
    control.onCongestion(5, 10);
    control.onPersistentCongestion();
    control.onAcked(SIZE, 11, 60, 50, true);
    expect(control.windowOctets).toBe(3 * SIZE);
  });
});

describe('NewReno', () => {
  test('halves, then adds one datagram per window of acknowledged octets (RFC 9002 §7.3.2 and §7.3.3, Appendix B)', () => {
    const control = new NewRenoController(SIZE);
    control.onCongestion(5, 10);
    expect(control.windowOctets).toBe(6000);
    for (let i = 0; i < 4; i++) control.onAcked(SIZE, 20, 30, 50, true);
    expect(control.windowOctets).toBe(6000);
    control.onAcked(SIZE, 20, 30, 50, true);
    expect(control.windowOctets).toBe(7200);
  });
});

describe('CUBIC', () => {
  /** A window of `datagrams` in congestion avoidance after one event at 1000 ms, acknowledged round by round. */
  function afterEvent(datagrams: number): CubicController {
    const control = new CubicController(SIZE);
    control.onAcked(datagrams * SIZE - 12_000, 1, 2, 50, true);
    control.onCongestion(999, 1000);
    return control;
  }

  function round(control: CubicController, now: number, rttMs: number, used = true): void {
    const window = control.windowOctets;
    for (let at = 0; at < window; at += SIZE) control.onAcked(SIZE, now - rttMs, now, rttMs, used);
  }

  test('falls to seven tenths (RFC 9438 §4.6)', () => {
    expect(afterEvent(100).windowOctets).toBeCloseTo(70 * SIZE, 6);
  });

  test('is back at the old window after K seconds, flat around it and steep beyond (RFC 9438 §4.2, §4.4, §4.5)', () => {
    const control = afterEvent(1000);
    const rttMs = 200;
    const kMs = Math.cbrt((1000 * 0.3) / 0.4) * 1000;
    const at = new Map<number, number>();
    let now = 1200;
    for (; now < 1200 + 2 * kMs; now += rttMs) {
      round(control, now, rttMs);
      at.set(Math.round((now - 1200) / rttMs), control.windowOctets / SIZE);
    }
    const share = (part: number) => at.get(Math.round((part * kMs) / rttMs))!;
    expect(share(1)).toBeGreaterThan(985);
    expect(share(1)).toBeLessThan(1010);
    // The curve is symmetrical: 300 datagrams below at its start, 300 above at twice K.
    expect(share(0.5)).toBeGreaterThan(940);
    expect(share(1.5)).toBeLessThan(1070);
    expect(share(1.95)).toBeGreaterThan(1200);
  });

  test('grows no slower than Reno would where the window is small (RFC 9438 §4.3)', () => {
    const control = afterEvent(10);
    let now = 1010;
    const before = control.windowOctets;
    for (let i = 0; i < 40; i++, now += 10) round(control, now, 10);
    // Reno with alpha 0.53 up to the old window, then 1 per round trip; the cubic curve alone would give less than one.
    expect((control.windowOctets - before) / SIZE).toBeGreaterThan(20);
    expect((control.windowOctets - before) / SIZE).toBeLessThan(45);
  });

  test('remembers less than it had when it loses again below the old window (RFC 9438 §4.7)', () => {
    const slow = afterEvent(100);
    slow.onCongestion(1500, 1501);
    expect(slow.windowOctets).toBeCloseTo(49 * SIZE, 6);
    // W_max is now 70 * 0.85 = 59.5 datagrams: the curve rests there.
    let now = 1600;
    const kMs = Math.cbrt((59.5 - 49) / 0.4) * 1000;
    for (; now < 1600 + kMs; now += 100) round(slow, now, 100);
    expect(slow.windowOctets / SIZE).toBeGreaterThan(58);
    expect(slow.windowOctets / SIZE).toBeLessThan(66);
  });

  test('begins its curve anew, flat, in the first stage after persistent congestion, as after a timeout (RFC 9438 §4.8)', () => {
    const control = afterEvent(1000);
    control.onPersistentCongestion();
    expect(control.windowOctets).toBe(2 * SIZE);
    control.onAcked(control.slowStartThresholdOctets - control.windowOctets, 1001, 1200, 200, true);
    const start = control.windowOctets;
    expect(start).toBeCloseTo(700 * SIZE, 6);
    for (let now = 1400; now <= 3400; now += 200) round(control, now, 200);
    // K is 0: after two seconds C * 2^3 = 3.2 datagrams, where the curve to the old window would have added 170.
    const grown = (control.windowOctets - start) / SIZE;
    expect(grown).toBeGreaterThan(3);
    expect(grown).toBeLessThan(20);
  });

  test('does not count time in which the window was not used (RFC 9438 §5.8)', () => {
    const idle = afterEvent(1000);
    const busy = afterEvent(1000);
    round(idle, 1200, 200);
    round(busy, 1200, 200);
    for (let now = 1400; now < 60_000; now += 200) idle.onAcked(100, now - 200, now, 200, false);
    round(idle, 60_000, 200);
    round(busy, 1400, 200);
    expect(idle.windowOctets / busy.windowOctets).toBeCloseTo(1, 2);
  });
});

describe('Pacer', () => {
  test('fills at its rate up to its capacity and bounds its debt', () => {
    const pacer = new Pacer(SIZE);
    pacer.setRate(12_000, 100, false, 0);
    for (let i = 0; i < 10; i++) pacer.onSent(SIZE, 0);
    // 150 octets per millisecond.
    expect(pacer.readyAt(SIZE, 0)).toBeCloseTo(8, 9);
    expect(pacer.readyAt(SIZE, 8)).toBe(8);
    for (let i = 0; i < 100; i++) pacer.onSent(SIZE, 8);
    expect(pacer.readyAt(SIZE, 8)).toBeCloseTo(8 + (12_000 + SIZE) / 150, 9);
    expect(pacer.readyAt(12_000, 10_000)).toBe(10_000);
    expect(pacer.readyAt(1_000_000, 10_000)).toBe(10_000);
  });

  test('allows two milliseconds at once where that is more than an initial window', () => {
    const pacer = new Pacer(SIZE);
    pacer.setRate(12_000_000, 100, false, 0);
    pacer.onSent(12_000, 0);
    expect(pacer.readyAt(288_000, 10)).toBe(10);
    pacer.onSent(300_000, 10);
    expect(pacer.readyAt(SIZE, 10)).toBeGreaterThan(10);
  });
});
