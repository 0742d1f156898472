import { describe, expect, test } from 'vitest';
import { IdleTimer } from '../../../proto/quic/connection/idle-timer.ts';

const PTO = 100;

describe('the idle timer (RFC 9000 §10.1)', () => {
  test.each([
    ['none of both', 0, 0, undefined],
    ['ours alone', 5000, 0, 5000],
    ["the peer's alone", 0, 4000, 4000],
    ['the smaller of both', 5000, 4000, 4000],
    ['no less than three probe timeouts', 200, 0, 300],
  ])('lasts as long as is offered: %s', (_name, ours, theirs, expected) => {
    const idle = new IdleTimer(ours, 0);
    idle.setPeerTimeout(theirs);
    expect(idle.deadline(PTO)).toBe(expected);
  });

  test('every packet that comes restarts it', () => {
    const idle = new IdleTimer(5000, 0);
    idle.onReceived(700);
    expect(idle.deadline(PTO)).toBe(5700);
    expect(idle.lastReceivedAt).toBe(700);
  });

  test('of what is sent, the first ack-eliciting packet since the last one came restarts it', () => {
    const idle = new IdleTimer(5000, 0);
    idle.onSent(false, 100);
    expect(idle.deadline(PTO)).toBe(5000);
    idle.onSent(true, 200);
    idle.onSent(true, 900);
    expect(idle.deadline(PTO)).toBe(5200);
    idle.onReceived(1000);
    idle.onSent(true, 1100);
    expect(idle.deadline(PTO)).toBe(6100);
  });

  test('half of it is over half way, and a keep-alive counts from the last packet either way', () => {
    const idle = new IdleTimer(5000, 0);
    idle.onReceived(1000);
    expect(idle.halfDeadline(PTO)).toBe(3500);
    expect(idle.keepAliveAt(400)).toBe(1400);
    idle.onSent(false, 1300);
    expect(idle.keepAliveAt(400)).toBe(1700);
    expect(new IdleTimer(0, 0).halfDeadline(PTO)).toBeUndefined();
  });
});
