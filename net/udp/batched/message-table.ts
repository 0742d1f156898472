/*
 * Structures of Linux on 64-bit little-endian machines, in octets.
 *
 *   struct mmsghdr (64)              struct iovec (16)
 *    0 msg_name        pointer        0 iov_base  pointer
 *    8 msg_namelen     32 bits        8 iov_len   64 bits
 *   16 msg_iov         pointer
 *   24 msg_iovlen      64 bits       struct sockaddr_in (16)      struct sockaddr_in6 (28)
 *   32 msg_control     pointer        0 family  16 bits            0 family  16 bits
 *   40 msg_controllen  64 bits        2 port    big-endian         2 port    big-endian
 *   48 msg_flags       32 bits        4 address 4                  4 flow    32 bits
 *   56 msg_len         32 bits                                     8 address 16, then scope
 *
 *   struct cmsghdr (16) and its data, padded to 8 octets; a message may have both
 *    0 cmsg_len        64 bits         the octets of a segment: 16 bits
 *    8 cmsg_level      32 bits         in_pktinfo: interface 32 bits, local address 4, address in the header 4
 *   12 cmsg_type       32 bits         in6_pktinfo: address 16, interface 32 bits
 */
const MESSAGE_OCTETS = 64;
const IOVEC_OCTETS = 16;
const NAME_OCTETS = 32;
/** Room for the larger packet info, then for a segment size. */
const CONTROL_OCTETS = 64;
const SEGMENT_OCTETS = 24;

const MESSAGE_WORDS = MESSAGE_OCTETS / 4;
const IOVEC_WORDS = IOVEC_OCTETS / 4;
const NAME_LENGTH_WORD = 2;
const IOV_WORD = 4;
const IOV_COUNT_WORD = 6;
const CONTROL_WORD = 8;
const CONTROL_LENGTH_WORD = 10;
const FLAGS_WORD = 12;
const LENGTH_WORD = 14;
const SEGMENT_WORD = 4;

const MSG_TRUNC = 0x20;
const AF_INET = 2;
const AF_INET6 = 10;
const SOL_UDP = 17;
const UDP_SEGMENT = 103;
/** cmsg_len of a header and 16 bits. */
const SEGMENT_CONTROL_LENGTH = 18;
/** Packet info of each family: cmsg_len, cmsg_level, cmsg_type, octets with padding, and where the local address lies. */
const INFO_IPV4 = { length: 28, level: 0, type: 8, octets: 32, addressAt: 20 } as const;
const INFO_IPV6 = { length: 36, level: 41, type: 50, octets: 40, addressAt: 16 } as const;
const TWO_TO_32 = 2 ** 32;

/** Octets of the address structure of a socket's family; 0 for messages without addresses. */
export const NAME_LENGTH = { none: 0, ipv4: 16, ipv6: 28 } as const;
export type NameLength = (typeof NAME_LENGTH)[keyof typeof NAME_LENGTH];

/** Writes a `sockaddr_in` or `sockaddr_in6` of the address of 16 octets at `hosts[hostAt]`, into octets that are zero or were one. */
export function writeSockaddr(
  out: Uint8Array,
  at: number,
  isIpv6: boolean,
  hosts: Uint8Array,
  hostAt: number,
  port: number,
): void {
  out[at] = isIpv6 ? AF_INET6 : AF_INET;
  out[at + 2] = port >> 8;
  out[at + 3] = port & 0xff;
  if (isIpv6) for (let i = 0; i < 16; i++) out[at + 8 + i] = hosts[hostAt + i] as number;
  else for (let i = 0; i < 4; i++) out[at + 4 + i] = hosts[hostAt + 12 + i] as number;
}

/**
 * What recvmmsg and sendmmsg read and write: messages, pieces of memory that they are made of, and their addresses. It is
 * one ArrayBuffer, made once, which never moves; a packet costs a few stores in it. At first message i is piece i.
 */
export class MessageTable {
  readonly #address: number;
  readonly #isIpv6: boolean;
  readonly #words: Uint32Array;
  readonly #octets: Uint8Array;
  readonly #pieces: number;
  readonly #controls: number;
  readonly #names: number;
  readonly #info: typeof INFO_IPV4 | typeof INFO_IPV6;
  /** 1 for each message that says which address it shall leave from. */
  readonly #hasSource: Uint8Array;

  /** `addressOf` says where octets lie in memory, `nameLength` of which family the addresses are. */
  constructor(addressOf: (data: Uint8Array) => number, capacity: number, nameLength: NameLength) {
    this.#pieces = capacity * MESSAGE_OCTETS;
    this.#controls = this.#pieces + capacity * IOVEC_OCTETS;
    this.#names = this.#controls + capacity * CONTROL_OCTETS;
    const memory = new ArrayBuffer(this.#names + capacity * NAME_OCTETS);
    this.#isIpv6 = nameLength === NAME_LENGTH.ipv6;
    this.#info = this.#isIpv6 ? INFO_IPV6 : INFO_IPV4;
    this.#hasSource = new Uint8Array(capacity);
    this.#words = new Uint32Array(memory);
    this.#octets = new Uint8Array(memory);
    this.#address = addressOf(this.#octets);
    for (let i = 0; i < capacity; i++) {
      const word = i * MESSAGE_WORDS;
      if (nameLength > 0) this.#setPointer(word, this.#address + this.#names + i * NAME_OCTETS);
      this.#words[word + NAME_LENGTH_WORD] = nameLength;
      this.compose(i, i, 1, 0);
      const control = (this.#controls + i * CONTROL_OCTETS) / 4;
      const { length, level, type, octets } = this.#info;
      this.#words.set([length, 0, level, type], control);
      this.#words.set([SEGMENT_CONTROL_LENGTH, 0, SOL_UDP, UDP_SEGMENT], control + octets / 4);
    }
  }

  /** Where message `index` lies. */
  addressOf(index: number): number {
    return this.#address + index * MESSAGE_OCTETS;
  }

  /** Lets a piece be the `length` octets at an address, to be sent or to be received into. */
  aim(piece: number, address: number, length: number): void {
    const word = this.#pieces / 4 + piece * IOVEC_WORDS;
    this.#setPointer(word, address);
    this.#words[word + 2] = length;
  }

  /**
   * Lets a message be `count` pieces from `first` on. With `segmentOctets` they are as many datagrams of that size, the
   * last of which may be shorter, and the kernel parts them (generic segmentation offload).
   */
  compose(index: number, first: number, count: number, segmentOctets: number): void {
    const words = this.#words;
    const word = index * MESSAGE_WORDS;
    this.#setPointer(word + IOV_WORD, this.#address + this.#pieces + first * IOVEC_OCTETS);
    words[word + IOV_COUNT_WORD] = count;
    const control = this.#controls + index * CONTROL_OCTETS;
    const infoOctets = this.#info.octets;
    const hasSource = this.#hasSource[index] === 1;
    const octets = (hasSource ? infoOctets : 0) + (segmentOctets > 0 ? SEGMENT_OCTETS : 0);
    if (octets > 0)
      this.#setPointer(word + CONTROL_WORD, this.#address + control + (hasSource ? 0 : infoOctets));
    if (segmentOctets > 0) words[(control + infoOctets) / 4 + SEGMENT_WORD] = segmentOctets;
    words[word + CONTROL_LENGTH_WORD] = octets;
  }

  /**
   * Has a message leave from the address of this machine at `sources[at]`, or from any when `sources` is `undefined`. To be
   * called before `compose`.
   */
  setSource(index: number, sources: Uint8Array | undefined, at: number): void {
    this.#hasSource[index] = sources === undefined ? 0 : 1;
    if (sources === undefined) return;
    const octets = this.#octets;
    const address = this.#controls + index * CONTROL_OCTETS + this.#info.addressAt;
    if (this.#isIpv6) for (let i = 0; i < 16; i++) octets[address + i] = sources[at + i] as number;
    else for (let i = 0; i < 4; i++) octets[address + i] = sources[at + 12 + i] as number;
  }

  /** Whether a message leaves from there. */
  hasSource(index: number, sources: Uint8Array | undefined, at: number): boolean {
    if (sources === undefined || this.#hasSource[index] === 0) {
      return sources === undefined && this.#hasSource[index] === 0;
    }
    const address = this.#controls + index * CONTROL_OCTETS + this.#info.addressAt;
    const skipped = this.#isIpv6 ? 0 : 12;
    for (let i = 15; i >= skipped; i--) {
      if (this.#octets[address + i - skipped] !== sources[at + i]) return false;
    }
    return true;
  }

  /** Makes room for packet info in the messages from `first` on, before each time that they are received into. */
  expectInfo(first: number, count: number): void {
    for (let index = first; index < first + count; index++) {
      const word = index * MESSAGE_WORDS;
      this.#setPointer(word + CONTROL_WORD, this.#address + this.#controls + index * CONTROL_OCTETS);
      this.#words[word + CONTROL_LENGTH_WORD] = CONTROL_OCTETS;
    }
  }

  /** The address of this machine that a received message came to, into the 16 octets at `locals[at]`, as `readName`. */
  readLocal(index: number, locals: Uint8Array, at: number): void {
    const control = this.#controls + index * CONTROL_OCTETS;
    const { length, level, type, addressAt } = this.#info;
    const words = this.#words;
    const isInfo =
      (words[index * MESSAGE_WORDS + CONTROL_LENGTH_WORD] as number) >= length &&
      words[control / 4 + 2] === level &&
      words[control / 4 + 3] === type;
    const from = control + addressAt;
    const octets = this.#octets;
    if (this.#isIpv6) for (let i = 0; i < 16; i++) locals[at + i] = isInfo ? (octets[from + i] as number) : 0;
    else for (let i = 0; i < 4; i++) locals[at + 12 + i] = isInfo ? (octets[from + i] as number) : 0;
  }

  /** Addresses a message to the 16 octets at `hosts[at]`. */
  setName(index: number, hosts: Uint8Array, at: number, port: number): void {
    writeSockaddr(this.#octets, this.#names + index * NAME_OCTETS, this.#isIpv6, hosts, at, port);
  }

  /** Whether a message is addressed so. */
  hasName(index: number, hosts: Uint8Array, at: number, port: number): boolean {
    const octets = this.#octets;
    const name = this.#names + index * NAME_OCTETS;
    if (octets[name + 2] !== port >> 8 || octets[name + 3] !== (port & 0xff)) return false;
    const address = this.#isIpv6 ? name + 8 : name + 4 - 12;
    for (let i = 15; i >= (this.#isIpv6 ? 0 : 12); i--) {
      if (octets[address + i] !== hosts[at + i]) return false;
    }
    return true;
  }

  /** Where a received message came from, into the 16 octets at `hosts[at]`; IPv4 changes the last four only. Returns the port. */
  readName(index: number, hosts: Uint8Array, at: number): number {
    const octets = this.#octets;
    const name = this.#names + index * NAME_OCTETS;
    if (this.#isIpv6) for (let i = 0; i < 16; i++) hosts[at + i] = octets[name + 8 + i] as number;
    else for (let i = 0; i < 4; i++) hosts[at + 12 + i] = octets[name + 4 + i] as number;
    return ((octets[name + 2] as number) << 8) | (octets[name + 3] as number);
  }

  /** Octets that were received. */
  length(index: number): number {
    return this.#words[index * MESSAGE_WORDS + LENGTH_WORD] as number;
  }

  /** Whether a received datagram was larger than its memory. */
  isTruncated(index: number): boolean {
    return ((this.#words[index * MESSAGE_WORDS + FLAGS_WORD] as number) & MSG_TRUNC) !== 0;
  }

  #setPointer(word: number, address: number): void {
    const high = Math.floor(address / TWO_TO_32);
    this.#words[word] = address - high * TWO_TO_32;
    this.#words[word + 1] = high;
  }
}
