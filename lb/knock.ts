import { createSocket, type Socket } from 'node:dgram';
import { type Endpoint, isIpv6 } from '../net/udp/index.ts';

/**
 * Asks the kernel of a backend's host whether its tunnel port is open: a connected socket is told of an ICMP "port
 * unreachable", which the forwarder's other sockets are not. That comes at once when the process has ended, and not while it
 * stands still. What is sent must have no answer. The socket is connected, so a forged ICMP message must guess its port.
 */
export class Knock {
  readonly #socket: Socket;
  #isConnected = false;
  #isClosed = false;

  /** `from`: the address that the forwarder speaks to the backend from. `onRefused` may be called several times per knock. */
  constructor(to: Endpoint, from: Endpoint, onRefused: () => void) {
    const family = isIpv6(to.host) ? 6 : 4;
    const socket = createSocket({
      type: family === 6 ? 'udp6' : 'udp4',
      lookup: (host, _options, callback) => callback(null, host, family),
    });
    this.#socket = socket;
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') onRefused();
    });
    socket.on('connect', () => {
      this.#isConnected = true;
    });
    const isSameFamily = isIpv6(from.host) === (family === 6);
    socket.bind({ address: isSameFamily ? from.host : undefined, port: 0 }, () => {
      if (!this.#isClosed) socket.connect(to.port, to.host);
    });
    socket.unref();
  }

  send(datagram: Uint8Array): void {
    if (!this.#isConnected || this.#isClosed) return;
    this.#socket.send(datagram, (error) => {
      // The refusal of the one before can come as the error of this one.
      if (error !== null) this.#socket.emit('error', error);
    });
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.close();
  }
}
