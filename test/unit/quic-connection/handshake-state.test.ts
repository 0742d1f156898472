import { describe, expect, test } from 'vitest';
import { HandshakeState } from '../../../proto/quic/connection/handshake/handshake-state.ts';

describe('how far the handshake has come', () => {
  test('each step is taken once, and says so', () => {
    const handshake = new HandshakeState(100);
    expect(handshake.setWritable()).toBe(true);
    expect(handshake.setWritable()).toBe(false);
    expect(handshake.setComplete(true, 130)).toBe(30);
    expect(handshake.setComplete(true, 500)).toBe(30);
    expect(handshake.setConfirmed()).toBe(true);
    expect(handshake.setConfirmed()).toBe(false);
    const { writable, complete, confirmed, resumed, durationMs } = handshake;
    expect({ writable, complete, confirmed, resumed, durationMs }).toEqual({
      writable: true,
      complete: true,
      confirmed: true,
      resumed: true,
      durationMs: 30,
    });
  });

  test('is not confirmed before it is complete (RFC 9001 §4.1.2)', () => {
    const handshake = new HandshakeState(0);
    expect(handshake.setConfirmed()).toBe(false);
    expect(handshake.confirmed).toBe(false);
  });

  test('times out unless it completed', () => {
    const handshake = new HandshakeState(100);
    expect(handshake.deadline(10_000)).toBe(10_100);
    handshake.setComplete(false, 200);
    expect(handshake.deadline(10_000)).toBeUndefined();
  });

  test('HANDSHAKE_DONE is sent again when it was lost, and not once it arrived', () => {
    const handshake = new HandshakeState(0);
    expect(handshake.doneDue).toBe(false);
    handshake.queueDone();
    handshake.onDoneSent();
    expect(handshake.doneDue).toBe(false);
    handshake.queueDone();
    expect(handshake.doneDue).toBe(true);
    handshake.onDoneAcked();
    expect(handshake.doneDue).toBe(false);
    handshake.queueDone();
    expect(handshake.doneDue).toBe(false);
  });
});
