import { describe, expect, test } from 'vitest';
import { INITIAL_RTT_MS, RttEstimator } from '../../../proto/quic/recovery/index.ts';

describe('RttEstimator', () => {
  test('assumes 333 ms before the first sample (RFC 9002 §6.2.2 and §5.3)', () => {
    const rtt = new RttEstimator();
    expect(rtt.smoothedMs).toBe(INITIAL_RTT_MS);
    expect(rtt.varMs).toBe(INITIAL_RTT_MS / 2);
    expect(rtt.probeTimeoutMs).toBe(333 + 4 * 166.5);
    expect(rtt.hasSample).toBe(false);
  });

  test('takes the first sample as it is, without the delay (RFC 9002 §5.3)', () => {
    const rtt = new RttEstimator();
    rtt.update(100, 20);
    expect(rtt).toMatchObject({ latestMs: 100, minMs: 100, smoothedMs: 100, varMs: 50, hasSample: true });
  });

  test('takes the delay off, then the variance from the old average, then the average (RFC 9002 §5.3)', () => {
    const rtt = new RttEstimator();
    rtt.update(100, 0);
    rtt.update(140, 20);
    // adjusted 120: rttvar = 3/4 * 50 + 1/4 * |100 - 120|, smoothed = 7/8 * 100 + 1/8 * 120
    expect(rtt.varMs).toBeCloseTo(42.5, 9);
    expect(rtt.smoothedMs).toBeCloseTo(102.5, 9);
    expect(rtt.minMs).toBe(100);
  });

  test('does not take the delay off where the result would be below min_rtt (RFC 9002 §5.3)', () => {
    const rtt = new RttEstimator();
    rtt.update(100, 0);
    rtt.update(110, 20);
    expect(rtt.smoothedMs).toBeCloseTo(101.25, 9);
  });

  test('takes min_rtt from the raw sample (RFC 9002 §5.2), and anew after persistent congestion', () => {
    const rtt = new RttEstimator();
    rtt.update(100, 0);
    rtt.update(90, 50);
    expect(rtt.minMs).toBe(90);
    rtt.restartMin();
    rtt.update(200, 0);
    expect(rtt.minMs).toBe(200);
  });

  test('bounds the loss delay and the probe timeout from below by the granularity (RFC 9002 §6.1.2 and §6.2.1)', () => {
    const rtt = new RttEstimator();
    for (let i = 0; i < 60; i++) rtt.update(0.1, 0);
    expect(rtt.lossDelayMs).toBe(1);
    expect(rtt.probeTimeoutMs).toBeCloseTo(1.1, 3);
    rtt.update(80, 0);
    expect(rtt.lossDelayMs).toBe(90);
  });
});
