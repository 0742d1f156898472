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

/** A socket that takes 40 datagrams, and is full until a flush a millisecond or more later. */
function slowSocket() {
  const local = { host: '127.0.0.1', port: 1 };
  const sent: number[] = [];
  let room = 40;
  let fullAt = 0;
  let refused = 0;
  const socket = {
    local,
    onDatagram: () => {},
    get isFull() {
      return room === 0;
    },
    send: ({ data }: Datagram) => {
      if (room === 0) refused += 1;
      else {
        sent.push(data[0]!);
        room -= 1;
        if (room === 0) fullAt = performance.now();
      }
    },
    flush: () => {
      if (room === 0 && performance.now() - fullAt >= 1) room = 40;
    },
    close: async () => {},
  } as unknown as PacketSocket;
  return { socket, local, sent, refused: () => refused };
}

test('what a full socket does not take stays in the engine, and all of it leaves in order', async () => {
  const { socket, local, sent, refused } = slowSocket();
  let next = 0;
  let asked = 0;
  let onAll = () => {};
  const all = new Promise<void>((resolve) => {
    onAll = resolve;
  });
  const endpoint = {
    transmit: (): Datagram | undefined => {
      asked += 1;
      if (next === 200) onAll();
      return next < 200 ? { data: Uint8Array.of(next++), path: { local, remote: local } } : undefined;
    },
    deadline: () => undefined,
    onDeadline: () => {},
    poll: () => undefined,
  } as unknown as QuicEndpoint;
  const driver = new EndpointDriver(endpoint, [socket], () => {});
  driver.wake();
  await new Promise((resolve) => setImmediate(resolve));
  expect(asked).toBe(40);
  await all;
  expect(sent).toEqual(Array.from({ length: 200 }, (_, n) => n));
  expect(refused()).toBe(0);
  await driver.close();
});
