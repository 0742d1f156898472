import { formatAddress } from '../../proto/quic/types.ts';
import type { ServerMessage } from '../../proto/voice/index.ts';
import type { NetworkChange } from '../webtransport/types.ts';

/** Turns changes beneath the session into messages: one per new address or forwarder, however many events tell of it. */
export class NetworkWatch {
  #address: string | undefined;
  #forwarder: string | null | undefined;
  #pathChanges = 0;
  #forwarderChanges = 0;

  message(change: NetworkChange): ServerMessage | undefined {
    if (change.type === 'path') {
      const address = formatAddress(change.remote);
      if (address === this.#address) return undefined;
      this.#address = address;
      this.#pathChanges += 1;
      return { type: 'parley.path_changed', address, changes: this.#pathChanges };
    }
    const forwarder = change.via === undefined ? null : formatAddress(change.via);
    if (forwarder === this.#forwarder) return undefined;
    this.#forwarder = forwarder;
    this.#forwarderChanges += 1;
    return { type: 'parley.forwarder_changed', forwarder, changes: this.#forwarderChanges };
  }
}
