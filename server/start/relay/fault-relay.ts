import { TcpRelay } from './tcp-relay.ts';
import { type RelayHost, UdpRelay } from './udp-relay.ts';

/** Ports that are tried, when a free one of UDP is taken on another address or for TCP. */
const MAX_TRIES = 8;

interface Side {
  readonly udp: UdpRelay;
  readonly tcp: TcpRelay;
}

/**
 * The network between the page and the forwarder of `npm start`, on loopback alone: it passes everything on until the page asks it to
 * lose packets, to be cut off, or to change the page's address.
 */
export class FaultRelay {
  readonly port: number;
  readonly #sides: readonly Side[];

  private constructor(port: number, sides: readonly Side[]) {
    this.port = port;
    this.#sides = sides;
  }

  /** Listens on a free port, the same for UDP and TCP on both loopback addresses, as far as this machine has them. Rejects when there is none. */
  static async open(targetPort: number): Promise<FaultRelay> {
    for (let tries = 1; ; tries++) {
      const udp = await UdpRelay.open('127.0.0.1', 0, targetPort);
      const { port } = udp;
      try {
        const tcp = await TcpRelay.open('127.0.0.1', port, targetPort);
        const second = await FaultRelay.#openSide('::1', port, targetPort);
        return new FaultRelay(port, second === undefined ? [{ udp, tcp }] : [{ udp, tcp }, second]);
      } catch (error) {
        udp.close();
        if (tries >= MAX_TRIES) throw error;
      }
    }
  }

  /** Names below localhost lead to ::1 first; where it is missing, to 127.0.0.1. */
  static async #openSide(host: RelayHost, port: number, targetPort: number): Promise<Side | undefined> {
    let udp: UdpRelay | undefined;
    try {
      udp = await UdpRelay.open(host, port, targetPort);
      return { udp, tcp: await TcpRelay.open(host, port, targetPort) };
    } catch {
      udp?.close();
      return undefined;
    }
  }

  /** Packets that were dropped so far. */
  get dropped(): number {
    return this.#sides.reduce((sum, { udp }) => sum + udp.dropped, 0);
  }

  /** The page has another address from now on, as the forwarder sees it. */
  changeAddress(): void {
    for (const { udp } of this.#sides) udp.changePorts();
  }

  /** Drops this share of the UDP packets from now on, 0 to 1, each way. */
  lose(share: number): void {
    for (const { udp } of this.#sides) udp.lossShare = share;
  }

  /** Nothing passes, over UDP or TCP, until `mend`. */
  cut(): void {
    for (const { udp, tcp } of this.#sides) {
      udp.lossShare = 1;
      tcp.hold();
    }
  }

  mend(): void {
    for (const { udp, tcp } of this.#sides) {
      udp.lossShare = 0;
      tcp.release();
    }
  }

  close(): void {
    for (const { udp, tcp } of this.#sides) {
      udp.close();
      tcp.close();
    }
  }
}
