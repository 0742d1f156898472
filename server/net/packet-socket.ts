import { createSocket, type Socket } from 'node:dgram';
import { isIP, isIPv6 } from 'node:net';
import { StartupError } from '../../net/startup.ts';
import type { Address, Datagram } from '../../proto/quic/index.ts';
import { formatAddress } from '../../proto/quic/index.ts';
import { decodeSpp, SPP_HEADER_OCTETS, writeSppHeader } from '../../proto/spp/index.ts';

/** Kernel buffers of a socket: about 100 ms of a busy backend's traffic. */
const SOCKET_BUFFER_OCTETS = 2 * 1024 * 1024;
/** Longest UDP payload plus the SPP header, for the one buffer that tunnel packets are assembled in. */
const MAX_DATAGRAM_OCTETS = 65_535;

/**
 * Octets that a socket gave, as a plain array: a `Buffer` would say `slice` and mean a view, which keeps the whole datagram for
 * the sake of a connection ID, and cuts it up more slowly.
 */
function plainOctets(data: Buffer): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/** A UDP socket that speaks `Datagram`s: plain on the public port, SPP on the tunnel port. */
export interface PacketSocket {
  /** Where it is bound. The very object stands in the path of every datagram it gives. */
  readonly local: Address;
  send(datagram: Datagram): void;
  onDatagram(listener: (datagram: Datagram) => void): void;
  /** Datagrams that were dropped here, by reason. */
  readonly dropped: Record<string, number>;
  close(): Promise<void>;
}

async function bind(address: Address, what: string): Promise<Socket> {
  if (isIP(address.host) === 0) throw new StartupError(`${what}: "${address.host}" is not an IP address.`);
  const family = isIPv6(address.host) ? 6 : 4;
  const socket = createSocket({
    type: family === 6 ? 'udp6' : 'udp4',
    // Addresses are never names here: skip the resolver, which costs a turn of the task queue for every packet.
    lookup: (host, _options, callback) => callback(null, host, family),
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', (error: NodeJS.ErrnoException) => {
      const where = `udp ${formatAddress(address)}`;
      if (error.code === 'EADDRINUSE') {
        reject(
          new StartupError(`${what}: ${where} is in use by another process; stop it or choose another port.`),
        );
      } else reject(new StartupError(`${what}: cannot listen on ${where}: ${error.message}.`));
    });
    socket.bind({ address: address.host, port: address.port }, resolve);
  });
  socket.removeAllListeners('error');
  for (const set of [
    () => socket.setRecvBufferSize(SOCKET_BUFFER_OCTETS),
    () => socket.setSendBufferSize(SOCKET_BUFFER_OCTETS),
  ]) {
    try {
      set();
    } catch {
      // The kernel's limit is lower: it keeps what it has, and QUIC recovers what overflows.
    }
  }
  return socket;
}

function boundAddress(socket: Socket): Address {
  const { address, port } = socket.address();
  return Object.freeze({ host: address, port });
}

function countInto(counters: Record<string, number>, reason: string): void {
  counters[reason] = (counters[reason] ?? 0) + 1;
}

function closeSocket(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.close(() => resolve()));
}

/** Opens the public port: clients come to it directly, or through a balancer that keeps their addresses. */
export async function openPublicSocket(address: Address): Promise<PacketSocket> {
  const socket = await bind(address, 'public port');
  const local = boundAddress(socket);
  const dropped: Record<string, number> = {};
  // An ICMP error for one client must not end the process; the connection's own timers notice.
  socket.on('error', () => countInto(dropped, 'socket-error'));
  const onSent = (error: Error | null) => {
    if (error) countInto(dropped, 'send-error');
  };
  return {
    local,
    dropped,
    send: ({ data, path }) => socket.send(data, path.remote.port, path.remote.host, onSent),
    onDatagram: (listener) => {
      socket.on('message', (data, from) =>
        listener({
          data: plainOctets(data),
          path: { local, remote: { host: from.address, port: from.port } },
        }),
      );
    },
    close: () => closeSocket(socket),
  };
}

/** IPv4 addresses arrive on a dual-stack socket as `::ffff:a.b.c.d`. */
function plainHost(host: string): string {
  return host.startsWith('::ffff:') ? host.slice(7) : host;
}

/**
 * Opens the tunnel port: every datagram carries SPP, and only those from `forwarders` (IP addresses) are taken, since
 * whoever may speak SPP may claim any client address.
 */
export async function openTunnelSocket(
  address: Address,
  forwarders: ReadonlySet<string>,
): Promise<PacketSocket> {
  const socket = await bind(address, 'tunnel port');
  const local = boundAddress(socket);
  const dropped: Record<string, number> = {};
  socket.on('error', () => countInto(dropped, 'socket-error'));
  const onSent = (error: Error | null) => {
    if (error) countInto(dropped, 'send-error');
  };
  const send = ({ data, path, via }: Datagram) => {
    if (via === undefined || data.length + SPP_HEADER_OCTETS > MAX_DATAGRAM_OCTETS) {
      countInto(dropped, 'no-forwarder');
      return;
    }
    const packet = Buffer.allocUnsafe(SPP_HEADER_OCTETS + data.length);
    if (!writeSppHeader(packet, path.remote, via)) {
      countInto(dropped, 'bad-address');
      return;
    }
    packet.set(data, SPP_HEADER_OCTETS);
    socket.send(packet, via.port, via.host, onSent);
  };
  const onDatagram = (listener: (datagram: Datagram) => void) => {
    socket.on('message', (packet, from) => {
      const host = plainHost(from.address);
      if (!forwarders.has(host)) return countInto(dropped, 'not-a-forwarder');
      const decoded = decodeSpp(plainOctets(packet));
      if (decoded === undefined) return countInto(dropped, 'not-spp');
      const { header, payload } = decoded;
      const remote = { host: header.clientHost, port: header.clientPort };
      listener({ data: payload, path: { local, remote }, via: { host, port: from.port } });
    });
  };
  return { local, dropped, send, onDatagram, close: () => closeSocket(socket) };
}
