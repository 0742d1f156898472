import type { SentPacket } from './sent-packets.ts';

/** How much may be in flight. Bytes in flight themselves are counted by `Recovery`. */
export interface CongestionController {
  readonly windowOctets: number;
  /** Infinity until the first congestion event. */
  readonly slowStartThresholdOctets: number;
  /**
   * `octets` sent at `sentAtMs` were acknowledged at `now`. `windowWasUsed` is false when the application or flow control, not the window, held sending
   * back: the window must not grow then (RFC 9002 §7.8).
   */
  onAcked(octets: number, sentAtMs: number, now: number, rttMs: number, windowWasUsed: boolean): void;
  /**
   * Packets were lost, or ECN-CE was reported; the newest of them was sent at `sentAtMs`. At most one reduction per round
   * trip (RFC 9002 §7.3.2).
   */
  onCongestion(sentAtMs: number, now: number): void;
  onPersistentCongestion(): void;
  setMaxDatagramOctets(octets: number): void;
  /** The pace, of one that sets it itself: octets per ms, and octets that may go at once. Else it follows from window and round trip. */
  readonly pacingOctetsPerMs?: number;
  readonly quantumOctets?: number;
  /** A packet of the path in use was sent; `inFlight` has it in it. */
  onSent?(packet: SentPacket<unknown>, inFlight: number): void;
  /** Packets of the path in use were settled, after `inFlight` was made up. */
  onSettled?(
    acked: readonly SentPacket<unknown>[],
    lost: readonly SentPacket<unknown>[],
    inFlight: number,
    now: number,
  ): void;
  /** The window has room, and there is nothing to send. */
  onAppLimited?(inFlight: number): void;
}

/** The congestion controls that a connection can have. */
export type CongestionControl = 'cubic' | 'newreno' | 'bbr';

/** RFC 9002 §7.2: ten datagrams, but at most 14720 octets unless two datagrams are more. */
export function initialWindowOctets(maxDatagramOctets: number): number {
  return Math.min(10 * maxDatagramOctets, Math.max(14_720, 2 * maxDatagramOctets));
}

/** RFC 9002 §7.2: two datagrams. */
export function minimumWindowOctets(maxDatagramOctets: number): number {
  return 2 * maxDatagramOctets;
}

/**
 * RFC 9002 §7.2: while the window has never moved from the initial one, that is made anew for another maximum datagram size.
 * Later the window is what the path has shown: losses that make a black hole must not open it again.
 */
export function windowAfterSizeChange(windowOctets: number, before: number, after: number): number {
  return windowOctets === initialWindowOctets(before) ? initialWindowOctets(after) : windowOctets;
}

/** RFC 9002 §7.8: the window was used when it was nearly full, or half full while it doubles each round trip. */
export function windowWasUsed(
  { windowOctets, slowStartThresholdOctets }: CongestionController,
  inFlightOctets: number,
  maxDatagramOctets: number,
): boolean {
  return windowOctets < slowStartThresholdOctets
    ? inFlightOctets * 2 > windowOctets
    : inFlightOctets + 3 * maxDatagramOctets >= windowOctets;
}
