import { expect, test } from 'vitest';
import type { Datagram, QuicEndpoint } from '../../../proto/quic/index.ts';
import { EndpointDriver, type PacketSocket } from '../../../server/net/index.ts';

test('a driver that closes sends the close of every connection, however many there are', async () => {
  const local = { host: '127.0.0.1', port: 1 };
  const closing: Datagram = { data: new Uint8Array(1), path: { local, remote: local } };
  let left = 1000;
  const endpoint = {
    transmit: () => (left-- > 0 ? closing : undefined),
    deadline: () => undefined,
    onDeadline: () => {},
    poll: () => undefined,
  } as unknown as QuicEndpoint;
  let sent = 0;
  const socket = {
    local,
    onDatagram: () => {},
    send: () => {
      sent += 1;
    },
    flush: () => {},
    close: async () => {},
  } as unknown as PacketSocket;
  await new EndpointDriver(endpoint, [socket], () => {}).close();
  expect(sent).toBe(1000);
});
