import { createSocket } from 'node:dgram';
import { describe, expect, test } from 'vitest';
import { deriveTunnelKeys } from '../../../proto/quic-lb/index.ts';
import { TunnelEnd } from '../../../proto/spp/index.ts';
import {
  openPublicSocket,
  openTunnelSocket,
  type PacketSocket,
  type TunnelRules,
} from '../../../server/net/index.ts';

const KEYS = deriveTunnelKeys(new Uint8Array(32).fill(7));
const FORWARDER_END = new TunnelEnd('forwarder', 'require', KEYS);
const RULES: TunnelRules = {
  forwarders: new Set(['127.0.0.1']),
  end: new TunnelEnd('backend', 'require', KEYS),
};
const LOOPBACK = { host: '127.0.0.1', port: 0 };

/** Sends `packet` to the socket and gives the octets that its listener sees. */
async function arriving(socket: PacketSocket, packet: Uint8Array): Promise<Uint8Array> {
  const sender = createSocket('udp4');
  try {
    return await new Promise<Uint8Array>((resolve) => {
      socket.onDatagram(({ data }) => resolve(data));
      sender.send(packet, socket.local.port, socket.local.host);
    });
  } finally {
    sender.close();
    await socket.close();
  }
}

describe('octets of a datagram as the engine gets them', () => {
  const payload = Uint8Array.from([1, 2, 3, 4, 5]);
  const header = { clientHost: '192.0.2.1', clientPort: 1, proxyHost: '127.0.0.1', proxyPort: 2 };

  test.each([
    ['public', () => openPublicSocket(LOOPBACK), payload],
    ['tunnel', () => openTunnelSocket(LOOPBACK, RULES), FORWARDER_END.seal(header, payload)],
  ] as const)(
    '%s port: a slice is a copy, so that a CID that is kept does not keep its datagram',
    async (_, open, packet) => {
      const data = await arriving(await open(), packet);
      expect(data).toEqual(payload);
      const kept = data.slice(1, 3);
      data.fill(0);
      expect(kept).toEqual(Uint8Array.from([2, 3]));
    },
  );
});
