import type { Datagram, QuicEndpoint } from '../../../proto/quic/index.ts';

/** Gives an endpoint a datagram in memory that is used again at once, as a socket's is: whatever it kept of it would be garbage. */
export function deliver(endpoint: QuicEndpoint, datagram: Datagram, now: number): void {
  const data = datagram.data.slice();
  endpoint.receive({ ...datagram, data }, now);
  data.fill(0xa5);
}
