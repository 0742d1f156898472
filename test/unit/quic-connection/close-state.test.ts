import { describe, expect, test } from 'vitest';
import { CloseState } from '../../../proto/quic/connection/close-state.ts';

const FRAME = { application: true, code: 7, frameType: 0, reason: 'bye' };
const REASON = { kind: 'application', by: 'local', code: 7, reason: 'bye' } as const;
const OTHER = { kind: 'idle-timeout' } as const;

function closing(): CloseState {
  const close = new CloseState();
  close.startClosing(FRAME, REASON);
  return close;
}

describe('how a connection ends (RFC 9000 §10.2)', () => {
  test('closing sends its frame once, and the first reason stays', () => {
    const close = closing();
    expect(close.takeFrame()).toBe(FRAME);
    expect(close.takeFrame()).toBeUndefined();
    close.startClosing({ ...FRAME, code: 8 }, { ...REASON, code: 8 });
    close.end(OTHER);
    expect(close.reason).toBe(REASON);
    expect(close.phase).toBe('closed');
  });

  test('the timer runs for three probe timeouts from the first time that is known', () => {
    const open = new CloseState();
    open.startTimer(0, 100);
    expect(open.deadline).toBeUndefined();
    const close = closing();
    close.startTimer(1000, 100);
    close.startTimer(5000, 100);
    expect(close.deadline).toBe(1300);
    close.end(REASON);
    expect(close.deadline).toBeUndefined();
  });

  test("the peer's close while closing makes it drain: nothing more is sent", () => {
    const close = closing();
    close.startDraining(OTHER);
    expect(close.phase).toBe('draining');
    expect(close.reason).toBe(REASON);
    expect(close.takeFrame()).toBeUndefined();
    close.onDatagram(1200);
    expect(close.takeFrame()).toBeUndefined();
  });

  test('what comes while closing is answered ever more rarely', () => {
    const close = closing();
    close.takeFrame();
    close.onSent(50);
    const answered: number[] = [];
    for (let i = 1; i <= 40; i++) {
      close.onDatagram(1200);
      if (close.takeFrame() !== undefined) answered.push(i);
    }
    expect(answered).toEqual([1, 3, 7, 15, 31]);
  });

  test('answers stay within three times what came (RFC 9000 §10.2.1)', () => {
    const close = closing();
    close.takeFrame();
    close.onSent(600);
    let sent = 0;
    for (let i = 1; i <= 200; i++) {
      close.onDatagram(21);
      if (close.takeFrame() !== undefined) sent += 600;
      expect(sent).toBeLessThanOrEqual(3 * 21 * i);
    }
    expect(sent).toBeGreaterThan(0);
  });
});
