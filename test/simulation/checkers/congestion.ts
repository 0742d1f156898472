import { type Path, type QuicConnection, samePath } from '../../../proto/quic/index.ts';
import { Violation } from '../violation.ts';

/** A probe timeout lets two packets go past the window, in each of two spaces that wait for an answer (RFC 9002 §6.2.4). */
const PACKETS_PER_TIMEOUT = 4;

/**
 * An ACK waits for no window (RFC 9002 §7), but one in an Initial of a client fills a datagram (RFC 9000 §14.1), and PADDING
 * counts as in flight (RFC 9002 §2): one for each packet that came.
 */
const PADDED_ACK_OCTETS = 1200;

interface Watch {
  inFlight: number;
  ptoCount: number;
  /** Packets that may still go past the window. */
  allowance: number;
}

/** Octets in flight stay within the congestion window; what goes beyond must be a probe. */
export class CongestionChecker {
  readonly #watches = new WeakMap<QuicConnection, Watch>();

  /** Call after each datagram that an endpoint sent on `path`, and at other times, for each of its connections. */
  check(connection: QuicConnection, path?: Path): void {
    const { bytesInFlight, congestionWindowOctets, handshakeMs, packetsReceived, ptoCount } =
      connection.stats();
    const acksInitials = connection.role === 'client' && handshakeMs === undefined;
    const slack = acksInitials ? PADDED_ACK_OCTETS * packetsReceived : 0;
    let watch = this.#watches.get(connection);
    if (watch === undefined) {
      watch = { inFlight: 0, ptoCount: 0, allowance: 0 };
      this.#watches.set(connection, watch);
    }
    if (ptoCount > watch.ptoCount) watch.allowance = PACKETS_PER_TIMEOUT;
    watch.ptoCount = ptoCount;
    // A PATH_CHALLENGE and its answer try another path; they do not wait for room on the one in use.
    const sent = path !== undefined && samePath(path, connection.path);
    if (sent && bytesInFlight > watch.inFlight && bytesInFlight > congestionWindowOctets + slack) {
      if (watch.allowance === 0) {
        throw new Violation(
          'congestion',
          `the ${connection.role} has ${bytesInFlight} octets in flight, its window is ${congestionWindowOctets}, and no probe timeout ran out`,
        );
      }
      watch.allowance -= 1;
    }
    watch.inFlight = bytesInFlight;
  }
}
