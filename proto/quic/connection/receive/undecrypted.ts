import type { Address, Path } from '../../types.ts';

/** Packets kept until their keys come: a server's flight or a client's first 1-RTT packets, reordered. */
export const MAX_UNDECRYPTED_PACKETS = 16;
/** Octets of them. */
export const MAX_UNDECRYPTED_OCTETS = 32 * 1024;

interface UndecryptedPacket {
  readonly data: Uint8Array;
  readonly path: Path;
  readonly via: Address | undefined;
  /** When it came, in milliseconds. */
  readonly receivedAt: number;
}

/** Packets that came before the keys that open them (RFC 9001 §5.7). */
export class UndecryptedBuffer {
  #packets: UndecryptedPacket[] = [];
  #octets = 0;

  /** Keeps a copy; false when there is no room. */
  push(packet: UndecryptedPacket): boolean {
    const { data } = packet;
    if (this.#packets.length >= MAX_UNDECRYPTED_PACKETS) return false;
    if (this.#octets + data.length > MAX_UNDECRYPTED_OCTETS) return false;
    this.#packets.push({ ...packet, data: data.slice() });
    this.#octets += data.length;
    return true;
  }

  get octets(): number {
    return this.#octets;
  }

  get isEmpty(): boolean {
    return this.#packets.length === 0;
  }

  /** Takes all of them, to be tried again; those still without keys come back by `push`. */
  takeAll(): readonly UndecryptedPacket[] {
    const packets = this.#packets;
    this.clear();
    return packets;
  }

  clear(): void {
    this.#packets = [];
    this.#octets = 0;
  }
}
