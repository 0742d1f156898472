/**
 * Joins the DATA of one read into one piece, so that a body costs an event for each read and not for each frame: a frame may
 * carry one octet. A single piece stays the view that it is.
 */
export class BodyJoin {
  #first: Uint8Array | undefined;
  #joined: Uint8Array | undefined;
  #length = 0;

  /** @param roomOctets octets that all pieces of this read can have at most. */
  add(piece: Uint8Array, roomOctets: number): void {
    if (this.#first === undefined) {
      this.#first = piece;
      this.#length = piece.length;
      return;
    }
    if (this.#joined === undefined) {
      this.#joined = new Uint8Array(roomOctets);
      this.#joined.set(this.#first);
    }
    this.#joined.set(piece, this.#length);
    this.#length += piece.length;
  }

  /** What came since the last call. */
  take(): Uint8Array | undefined {
    const taken = this.#joined?.subarray(0, this.#length) ?? this.#first;
    this.#first = undefined;
    this.#joined = undefined;
    this.#length = 0;
    return taken;
  }
}
