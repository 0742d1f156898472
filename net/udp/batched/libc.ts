import { createRequire } from 'node:module';
import { endianness } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { formatIp } from '../../../proto/wire/index.ts';
import { type Address, isIpv6, toEndpoint } from '../address.ts';
import { SOCKET_BUFFER_OCTETS } from '../udp-socket.ts';
import { MessageTable, NAME_LENGTH, writeSockaddr } from './message-table.ts';

/**
 * The system calls of Linux that Node does not offer, through koffi. Results are as the kernel gives them: below zero,
 * the number of an error. Pointers are plain numbers, exact up to 2^53 and so for all of user space: no call allocates.
 */
export interface SystemCalls {
  /** recvmmsg into the `count` messages at the address `messages`; never waits. */
  receive(descriptor: number, messages: number, count: number): number;
  /** Whether a message may be several datagrams of one size (UDP_SEGMENT, Linux 4.18). */
  readonly canSegment: boolean;
  /** sendmmsg of the `count` messages at the address `messages`; never waits. */
  send(descriptor: number, messages: number, count: number): number;
  /** Where the octets of `data` are. Those of an ArrayBuffer stay there as long as it lives. */
  addressOf(data: Uint8Array): number;
  /** A bound UDP socket. Throws an error with a `code`, like Node's own. */
  open(address: Address, ipv6Only: boolean, reusePort?: boolean): number;
  close(descriptor: number): void;
  /** Where a UDP socket is bound. Throws an error with a `code`: `ERR_INVALID_FD_TYPE` when it is none. */
  localOf(descriptor: number): Address;
  /** Has each received message say which address it came to (IP_PKTINFO, or IPV6_RECVPKTINFO for both families). */
  wantPacketInfo(descriptor: number, isIpv6: boolean): void;
  /** Asks for large kernel buffers. */
  enlargeBuffers(descriptor: number): void;
  /** Calls back whenever there may be something to read, until it is closed: within a turn of the event loop of its own. */
  watch(descriptor: number, onReadable: () => void): Watch;
  /** Datagrams that a full receive buffer has cost so far. */
  drops(descriptor: number): number | undefined;
}

export interface Watch {
  close(): void;
}

export type Loaded =
  | { readonly ok: true; readonly calls: SystemCalls }
  | { readonly ok: false; readonly why: string };

type NativeFunction = (...values: unknown[]) => number;

/** What is used of koffi. Not its own types: it may be absent, and everything must compile as before. */
interface Koffi {
  load(library: null): { func(prototype: string): NativeFunction };
  address(data: Uint8Array): bigint;
  errno(): number;
  /** Of koffi 3; not documented, so its absence is reckoned with. */
  readonly node?: {
    poll?(descriptor: number, options: { readable: true }, callback: () => void): Watch;
  };
}

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2_000_000;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const IPV6_RECVPKTINFO = 49;
const IPPROTO_IP = 0;
const IP_PKTINFO = 8;
const SOL_UDP = 17;
const UDP_SEGMENT = 103;
const SOL_SOCKET = 1;
const SO_TYPE = 3;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_REUSEPORT = 15;
const SO_MEMINFO = 55;
/** Place of the count of drops among the 32-bit words of SO_MEMINFO. */
const MEMINFO_DROPS = 8;
const MSG_DONTWAIT = 0x40;

function fail(call: string, error: number): never {
  const code = getSystemErrorName(error);
  throw Object.assign(new Error(`${call} gave ${code}`), { code });
}

class LinuxCalls implements SystemCalls {
  readonly canSegment: boolean;
  readonly #koffi: Koffi;
  readonly #recvmmsg: NativeFunction;
  readonly #sendmmsg: NativeFunction;
  readonly #socket: NativeFunction;
  readonly #bind: NativeFunction;
  readonly #getsockname: NativeFunction;
  readonly #setsockopt: NativeFunction;
  readonly #getsockopt: NativeFunction;
  readonly #socketpair: NativeFunction;
  readonly #close: NativeFunction;

  constructor(koffi: Koffi) {
    this.#koffi = koffi;
    // The C library that Node itself runs on, whichever that is.
    const libc = koffi.load(null);
    this.#recvmmsg = libc.func('int recvmmsg(int, uintptr_t messages, uint, int flags, uintptr_t timeout)');
    this.#sendmmsg = libc.func('int sendmmsg(int, uintptr_t messages, uint, int flags)');
    this.#socket = libc.func('int socket(int family, int type, int protocol)');
    this.#bind = libc.func('int bind(int, void *address, uint length)');
    this.#getsockname = libc.func('int getsockname(int, void *address, void *length)');
    this.#setsockopt = libc.func('int setsockopt(int, int level, int name, void *value, uint length)');
    this.#getsockopt = libc.func('int getsockopt(int, int level, int name, void *value, void *length)');
    this.#socketpair = libc.func('int socketpair(int family, int type, int protocol, void *pair)');
    this.#close = libc.func('int close(int)');
    this.canSegment = this.#trySegments();
  }

  receive(descriptor: number, messages: number, count: number): number {
    const received = this.#recvmmsg(descriptor, messages, count, MSG_DONTWAIT, 0);
    return received < 0 ? -this.#koffi.errno() : received;
  }

  send(descriptor: number, messages: number, count: number): number {
    const sent = this.#sendmmsg(descriptor, messages, count, MSG_DONTWAIT);
    return sent < 0 ? -this.#koffi.errno() : sent;
  }

  addressOf(data: Uint8Array): number {
    return Number(this.#koffi.address(data));
  }

  open({ host, port }: Address, ipv6Only: boolean, reusePort = false): number {
    const is6 = isIpv6(host);
    const type = SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    const descriptor = this.#check('socket', this.#socket(is6 ? AF_INET6 : AF_INET, type, 0));
    try {
      if (reusePort) this.#check('setsockopt', this.#set(descriptor, SOL_SOCKET, SO_REUSEPORT, 1));
      if (ipv6Only) this.#check('setsockopt', this.#set(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, 1));
      const name = new Uint8Array(NAME_LENGTH.ipv6);
      writeSockaddr(name, 0, is6, toEndpoint(host, port).octets, 0, port);
      this.#check('bind', this.#bind(descriptor, name, is6 ? NAME_LENGTH.ipv6 : NAME_LENGTH.ipv4));
    } catch (error) {
      this.close(descriptor);
      throw error;
    }
    return descriptor;
  }

  close(descriptor: number): void {
    this.#close(descriptor);
  }

  localOf(descriptor: number): Address {
    const type = new Int32Array(1);
    const isSocket =
      this.#getsockopt(descriptor, SOL_SOCKET, SO_TYPE, type, Uint32Array.of(type.byteLength)) === 0;
    const name = new Uint8Array(NAME_LENGTH.ipv6);
    const result = isSocket ? this.#getsockname(descriptor, name, Uint32Array.of(name.length)) : -1;
    const family = name[0] as number;
    if (type[0] !== SOCK_DGRAM || result < 0 || (family !== AF_INET && family !== AF_INET6)) {
      throw Object.assign(new Error(`${descriptor} is no UDP socket`), { code: 'ERR_INVALID_FD_TYPE' });
    }
    return {
      host: hostOf(name, family === AF_INET6),
      port: ((name[2] as number) << 8) | (name[3] as number),
    };
  }

  wantPacketInfo(descriptor: number, isIpv6: boolean): void {
    const result = isIpv6
      ? this.#set(descriptor, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
      : this.#set(descriptor, IPPROTO_IP, IP_PKTINFO, 1);
    this.#check('setsockopt', result);
  }

  enlargeBuffers(descriptor: number): void {
    // Larger than its limit the kernel cuts; if it refuses, what there is must do.
    this.#set(descriptor, SOL_SOCKET, SO_RCVBUF, SOCKET_BUFFER_OCTETS);
    this.#set(descriptor, SOL_SOCKET, SO_SNDBUF, SOCKET_BUFFER_OCTETS);
  }

  watch(descriptor: number, onReadable: () => void): Watch {
    const poll = this.#koffi.node?.poll;
    if (poll === undefined) throw new Error('koffi has no poll');
    // koffi calls from outside of any callback of Node's, where promises would wait and an exception has nowhere to go.
    // An immediate runs right after, before the event loop looks at its descriptors again.
    return poll(descriptor, { readable: true }, () => {
      setImmediate(onReadable);
    });
  }

  #set(descriptor: number, level: number, name: number, value: number): number {
    const octets = Int32Array.of(value);
    return this.#setsockopt(descriptor, level, name, octets, octets.byteLength);
  }

  drops(descriptor: number): number | undefined {
    const words = new Uint32Array(16);
    const length = Uint32Array.of(words.byteLength);
    if (this.#getsockopt(descriptor, SOL_SOCKET, SO_MEMINFO, words, length) < 0) return undefined;
    return words[MEMINFO_DROPS];
  }

  #trySegments(): boolean {
    const descriptor = this.#socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return false;
    const result = this.#set(descriptor, SOL_UDP, UDP_SEGMENT, 0);
    this.close(descriptor);
    return result === 0;
  }

  /** Sends two datagrams through a pair of sockets and reads them. Throws when anything is not as it is taken to be. */
  proveItself(): void {
    const pair = new Int32Array(2);
    this.#check('socketpair', this.#socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair));
    const [from, to] = pair as unknown as [number, number];
    try {
      const data = Uint8Array.from({ length: 256 }, (_, i) => i);
      const at = this.addressOf(data);
      const addressOf = (octets: Uint8Array) => this.addressOf(octets);
      const sent = new MessageTable(addressOf, 2, NAME_LENGTH.none);
      sent.aim(0, at + 1, 100);
      sent.aim(1, at, 0);
      const count = this.send(from, sent.addressOf(0), 2);
      if (count < 0) fail('sendmmsg', count);
      const received = new MessageTable(addressOf, 2, NAME_LENGTH.none);
      received.aim(0, at + 128, 3);
      received.aim(1, at + 192, 32);
      const got = this.receive(to, received.addressOf(0), 2);
      if (got < 0) fail('recvmmsg', got);
      const shown = [count, got, received.length(0), received.isTruncated(0), received.length(1)];
      const text = [...shown, received.isTruncated(1), ...data.subarray(128, 132)].join(' ');
      if (text !== '2 2 3 true 0 false 1 2 3 131') throw new Error(`recvmmsg gave ${text}`);
    } finally {
      this.close(from);
      this.close(to);
    }
  }

  #check(call: string, result: number): number {
    return result < 0 ? fail(call, -this.#koffi.errno()) : result;
  }
}

/** The address in a `sockaddr_in` or `sockaddr_in6`. */
function hostOf(name: Uint8Array, isIpv6: boolean): string {
  return isIpv6 ? formatIp(name, 8) : name.subarray(4, 8).join('.');
}

function load(): Loaded {
  const { platform, arch } = process;
  if (platform !== 'linux') return { ok: false, why: `this is ${platform}, not Linux` };
  // The layout of the kernel's structures is written out for these two.
  if ((arch !== 'x64' && arch !== 'arm64') || endianness() !== 'LE') {
    return { ok: false, why: `this is ${arch}, not x64 or arm64` };
  }
  let koffi: Koffi;
  try {
    koffi = createRequire(import.meta.url)('koffi') as Koffi;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'MODULE_NOT_FOUND') return { ok: false, why: 'the package koffi is not installed' };
    return { ok: false, why: `the package koffi does not load (${message})` };
  }
  if (koffi.node?.poll === undefined)
    return { ok: false, why: 'this version of the package koffi cannot poll' };
  try {
    const calls = new LinuxCalls(koffi);
    calls.proveItself();
    return { ok: true, calls };
  } catch (error) {
    return { ok: false, why: `a trial of recvmmsg and sendmmsg failed (${(error as Error).message})` };
  }
}

let loaded: Loaded | undefined;

/** The system calls, or why they cannot be had; tried once per process. */
export function loadSystemCalls(): Loaded {
  loaded ??= load();
  return loaded;
}
