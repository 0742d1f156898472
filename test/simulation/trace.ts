import { crc32 } from 'node:zlib';
import { PROBE_CLIENT } from '../../lb/health.ts';
import { HeaderForm, PacketHead } from '../../proto/invariants/index.ts';
import { decodeSpp, TUNNEL_OVERHEAD_OCTETS } from '../../proto/spp/index.ts';
import { toHex } from '../../proto/wire/index.ts';

const LONG_TYPES = ['Initial', '0-RTT', 'Handshake', 'Retry'] as const;
const head = new PacketHead();

/** A datagram in a few words, by what can be seen of it without keys; `undefined` for a forwarder's probe and its answer. */
function describePacket(data: Uint8Array): string | undefined {
  if (data.length > TUNNEL_OVERHEAD_OCTETS) {
    const spp = decodeSpp(data)?.header;
    if (spp?.clientHost === PROBE_CLIENT.host) return undefined;
    if (spp !== undefined)
      return `for ${spp.clientHost}:${spp.clientPort}, ${describePacket(data.subarray(TUNNEL_OVERHEAD_OCTETS))}`;
  }
  const form = head.parse(data);
  if (form < 0) return `garbage, ${data.length} octets`;
  const cid = toHex(data.subarray(head.dcidOffset, head.dcidOffset + Math.min(head.dcidLength, 11)));
  if (form === HeaderForm.short) return `1-RTT to ${cid}, ${data.length} octets`;
  const type = head.version === 0 ? 'Version Negotiation' : LONG_TYPES[((data[0] as number) >> 4) & 3];
  return `${type} to ${cid}, ${data.length} octets`;
}

/**
 * What happened, as one number that two runs of a seed must agree on, and, where asked for, as lines to read. Every octet
 * on the network goes into the number.
 */
export class Trace {
  readonly lines: string[] | undefined;
  #high = 0x1234_5678;
  #low = 0x9abc_def0;
  #notes = 0;

  constructor(readable: boolean) {
    this.lines = readable ? [] : undefined;
  }

  get hash(): string {
    const hex = (word: number): string => (word >>> 0).toString(16).padStart(8, '0');
    return `${hex(this.#high)}${hex(this.#low)}`;
  }

  get notes(): number {
    return this.#notes;
  }

  /** `what` says in a word what happened to the datagram. */
  packet(now: number, what: string, from: string, to: string, data: Uint8Array): void {
    this.#mix(crc32(data), now, what);
    if (this.lines === undefined) return;
    const description = describePacket(data);
    if (description !== undefined) this.#line(now, `${what} ${from} -> ${to}: ${description}`);
  }

  event(now: number, text: string): void {
    this.#mix(crc32(text), now, '');
    this.#line(now, text);
  }

  /** A line that is of use to a reader only: what it says follows from what is in the hash. */
  note(now: number, text: () => string): void {
    if (this.lines !== undefined) this.#line(now, text());
  }

  #line(now: number, text: string): void {
    this.lines?.push(`${now.toFixed(3).padStart(11)}  ${text}`);
  }

  #mix(value: number, now: number, what: string): void {
    this.#notes += 1;
    const time = Math.round(now * 1e6);
    this.#low = Math.imul(this.#low ^ value, 0x0100_0193) ^ (time | 0);
    const kind = what.length > 0 ? what.charCodeAt(0) * 257 + what.length : 0;
    this.#high = (Math.imul(this.#high ^ this.#low ^ kind, 0x85eb_ca6b) + Math.floor(time / 2 ** 32)) | 0;
  }
}
