import { formatIp, IP_OCTETS } from '../../proto/wire/index.ts';

/** Most datagrams that are handled at once. More save no more system calls worth it, and less fits the caches. */
export const BATCH_PACKETS = 64;
/** Octets free before each received datagram, for what a forwarder puts there: SPP and its tag, so that nothing has to move. */
export const HEADROOM_OCTETS = 46;
/** The largest datagram that is taken, a jumbo frame's. QUIC packets are seldom above 1500 octets. */
export const MAX_DATAGRAM_OCTETS = 9216;

/**
 * Datagrams that came together, as columns. It is the socket's own and used again for the next batch: who is given one is
 * done with it, and with what was sent from its memory, when the call returns.
 */
export class PacketBatch {
  /** The memory that the datagrams lie in, each with `HEADROOM_OCTETS` before it that may be written. */
  data: Uint8Array;
  /** How many there are. */
  count = 0;
  /** Where in `data` each begins, and where it ends. */
  readonly starts: Uint32Array;
  readonly ends: Uint32Array;
  /** Where each came from: 16 octets of address, IPv4 in its IPv4-mapped form, and the port. */
  readonly hosts: Uint8Array;
  readonly ports: Uint16Array;
  /** The address of this machine that each came to, likewise; unspecified (`::` or `0.0.0.0`) where the system does not say. */
  readonly locals: Uint8Array;

  constructor(data: Uint8Array, capacity: number) {
    this.data = data;
    this.starts = new Uint32Array(capacity);
    this.ends = new Uint32Array(capacity);
    this.hosts = new Uint8Array(capacity * IP_OCTETS);
    this.ports = new Uint16Array(capacity);
    this.locals = new Uint8Array(capacity * IP_OCTETS);
  }

  /** A view of one datagram, for what is rare. */
  packet(index: number): Uint8Array {
    return this.data.subarray(this.starts[index], this.ends[index]);
  }

  /** The sender's address as text, for what is rare. */
  host(index: number): string {
    return formatIp(this.hosts, index * IP_OCTETS);
  }

  /** The address it came to as text, for what is rare. */
  local(index: number): string {
    return formatIp(this.locals, index * IP_OCTETS);
  }

  /** Says of all datagrams that they came to the address of 16 octets. */
  fillLocals(octets: Uint8Array): void {
    for (let at = 0; at < this.locals.length; at += IP_OCTETS) this.locals.set(octets, at);
  }
}
