import type { Datagram } from '../../proto/quic/index.ts';
import { deriveTunnelKeys } from '../../proto/quic-lb/index.ts';
import { TunnelEnd } from '../../proto/spp/index.ts';
import { openPublicSocket, type PacketSocket } from '../../server/net/index.ts';
import { ROUTING_KEY } from './tunnel.ts';

const end = new TunnelEnd('forwarder', 'require', deriveTunnelKeys(ROUTING_KEY));

/** A socket that puts SPP around what it sends, with the local address of the path as the client's. */
export async function openForwarderSocket(): Promise<PacketSocket> {
  const plain = await openPublicSocket({ host: '127.0.0.1', port: 0 });
  const send = ({ data, path }: Datagram) => {
    const header = {
      clientHost: path.local.host,
      clientPort: path.local.port,
      proxyHost: plain.local.host,
      proxyPort: plain.local.port,
    };
    plain.send({ data: end.seal(header, data), path: { local: plain.local, remote: path.remote } });
  };
  const onDatagram = (listener: (datagram: Datagram) => void) =>
    plain.onDatagram(({ data, path }) => {
      const decoded = end.open(data);
      if (decoded === undefined) return;
      const { clientHost: host, clientPort: port } = decoded.header;
      listener({ data: decoded.payload, path: { local: { host, port }, remote: path.remote } });
    });
  return {
    local: plain.local,
    dropped: plain.dropped,
    owns: () => true,
    send,
    flush: () => plain.flush(),
    get isFull() {
      return plain.isFull;
    },
    onDatagram,
    close: () => plain.close(),
  };
}
