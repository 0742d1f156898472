/** Version field of a Version Negotiation packet (RFC 8999 §6). */
export const VERSION_NEGOTIATION = 0;
/** A CID's length is one octet on the wire (RFC 8999 §5.3); QUIC v1 allows 20. */
export const MAX_CID_OCTETS = 255;

/** What `PacketHead.parse` found. */
export const HeaderForm = {
  /** A long header: version and both CIDs are known. */
  long: 1,
  /** A short header: the DCID starts at the second octet, its length is the receiver's to know. */
  short: 2,
  /** No octets at all. */
  empty: -1,
  /** A long header that ends within its version, its CIDs or their lengths. */
  truncated: -2,
} as const;

/** Octets of a long header with two empty CIDs. */
const MIN_LONG_OCTETS = 7;

/** Whether a version is one of 0x?a?a?a?a, which no endpoint speaks (RFC 9000 §15). */
export function isReservedVersion(version: number): boolean {
  return (version & 0x0f0f_0f0f) === 0x0a0a_0a0a;
}

/**
 * What any version of QUIC shows of a packet (RFC 8999 §5), as offsets into the datagram. One object is reused for
 * every packet, so reading a head allocates nothing; it is a table of raw indexing for that reason.
 */
export class PacketHead {
  /** Version of a long header; 0 for a short one. */
  version = 0;
  dcidOffset = 0;
  /** Octets of the DCID of a long header; of a short one, all that follow the first octet. */
  dcidLength = 0;
  scidOffset = 0;
  scidLength = 0;
  /** Index after the version-independent part. */
  end = 0;

  /**
   * Reads the head of the first packet of the datagram `data[from..to)`. Returns a `HeaderForm`; below zero the fields
   * mean nothing. Offsets are from the start of `data`.
   */
  parse(data: Uint8Array, from = 0, to = data.length): number {
    if (to <= from) return HeaderForm.empty;
    if (((data[from] as number) & 0x80) === 0) {
      this.version = 0;
      this.dcidOffset = from + 1;
      this.dcidLength = to - from - 1;
      this.scidOffset = 0;
      this.scidLength = 0;
      this.end = from + 1;
      return HeaderForm.short;
    }
    if (to - from < MIN_LONG_OCTETS) return HeaderForm.truncated;
    this.version =
      (((data[from + 1] as number) << 24) |
        ((data[from + 2] as number) << 16) |
        ((data[from + 3] as number) << 8) |
        (data[from + 4] as number)) >>>
      0;
    this.dcidLength = data[from + 5] as number;
    this.dcidOffset = from + 6;
    const scidLengthAt = this.dcidOffset + this.dcidLength;
    if (scidLengthAt >= to) return HeaderForm.truncated;
    this.scidLength = data[scidLengthAt] as number;
    this.scidOffset = scidLengthAt + 1;
    this.end = this.scidOffset + this.scidLength;
    return this.end > to ? HeaderForm.truncated : HeaderForm.long;
  }
}
