/** What is known of a packet from the moment it was sent, to make a rate of when it is acknowledged. */
export interface DeliverySnapshot {
  /** When the packet was sent from which the send rate is counted, and when the last acknowledgement came before this one was sent. */
  readonly firstSentAtMs: number;
  readonly deliveredAtMs: number;
  /** Octets delivered, and lost, until then. */
  readonly delivered: number;
  readonly lost: number;
  readonly appLimited: boolean;
  /** Octets in flight when it was sent, it included. */
  readonly inFlight: number;
}
