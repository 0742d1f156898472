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
 */
const MESSAGE_OCTETS = 64;
const IOVEC_OCTETS = 16;
const NAME_OCTETS = 32;

const MESSAGE_WORDS = MESSAGE_OCTETS / 4;
const IOVEC_WORDS = IOVEC_OCTETS / 4;
const NAME_LENGTH_WORD = 2;
const IOV_WORD = 4;
const IOV_COUNT_WORD = 6;
const FLAGS_WORD = 12;
const LENGTH_WORD = 14;

const MSG_TRUNC = 0x20;
const AF_INET = 2;
const AF_INET6 = 10;
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
 * What recvmmsg and sendmmsg read and write: one message after the other, each with one piece of memory and one
 * address. It is one ArrayBuffer, made once, which never moves; a packet costs a few stores in it.
 */
export class MessageTable {
  readonly #address: number;
  readonly #isIpv6: boolean;
  readonly #words: Uint32Array;
  readonly #octets: Uint8Array;
  readonly #iovecs: number;
  readonly #names: number;

  /** `addressOf` says where octets lie in memory, `nameLength` of which family the addresses are. */
  constructor(addressOf: (data: Uint8Array) => number, capacity: number, nameLength: NameLength) {
    const iovecs = capacity * MESSAGE_OCTETS;
    const names = iovecs + capacity * IOVEC_OCTETS;
    const memory = new ArrayBuffer(names + capacity * NAME_OCTETS);
    this.#isIpv6 = nameLength === NAME_LENGTH.ipv6;
    this.#words = new Uint32Array(memory);
    this.#octets = new Uint8Array(memory);
    this.#iovecs = iovecs / 4;
    this.#names = names;
    this.#address = addressOf(this.#octets);
    for (let i = 0; i < capacity; i++) {
      const word = i * MESSAGE_WORDS;
      if (nameLength > 0) this.#setPointer(word, this.#address + names + i * NAME_OCTETS);
      this.#words[word + NAME_LENGTH_WORD] = nameLength;
      this.#setPointer(word + IOV_WORD, this.#address + iovecs + i * IOVEC_OCTETS);
      this.#words[word + IOV_COUNT_WORD] = 1;
    }
  }

  /** Where message `index` lies. */
  addressOf(index: number): number {
    return this.#address + index * MESSAGE_OCTETS;
  }

  /** Lets a message be the `length` octets at an address, to be sent or to be received into. */
  aim(index: number, address: number, length: number): void {
    const word = this.#iovecs + index * IOVEC_WORDS;
    this.#setPointer(word, address);
    this.#words[word + 2] = length;
  }

  /** Addresses a message to the 16 octets at `hosts[at]`. */
  setName(index: number, hosts: Uint8Array, at: number, port: number): void {
    writeSockaddr(this.#octets, this.#names + index * NAME_OCTETS, this.#isIpv6, hosts, at, port);
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
