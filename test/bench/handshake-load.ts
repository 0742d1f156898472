import { randomBytes } from 'node:crypto';
import { choosePacketCiphers } from '../../net/ciphers/index.ts';
import { type EndpointEvent, type QuicConnection, QuicEndpoint } from '../../proto/quic/index.ts';
import { EndpointDriver, openPublicSocket } from '../../server/net/index.ts';
import { answerParent } from './child.ts';

/** The client of the handshake benchmark: shakes hands with a server, some at a time, and closes each connection at once. */

const ALPN = 'parley-bench';
/** Handshakes under way at a time. */
const AT_A_TIME = 4;
const random = (length: number) => new Uint8Array(randomBytes(length));

async function shakeHands(port: number, count: number): Promise<void> {
  const socket = await openPublicSocket({ host: '127.0.0.1', port: 0 });
  const endpoint = new QuicEndpoint({
    ciphers: choosePacketCiphers().ciphers,
    random,
    connectionIdGenerator: { length: 8, generate: () => random(8) },
    wallClockEpochMs: Date.now(),
  });
  const ended = new Map<QuicConnection, (error?: Error) => void>();
  const handle = (item: EndpointEvent) => {
    if (item.type !== 'event') return;
    const { connection, event } = item;
    if (event.type === 'connected') ended.get(connection)?.();
    else if (event.type === 'closed')
      ended.get(connection)?.(new Error(`a handshake failed: ${JSON.stringify(event.reason)}`));
  };
  const driver = new EndpointDriver(endpoint, [socket], handle);
  const remote = { host: '127.0.0.1', port };
  const one = async () => {
    const options = { remote, local: socket.local, serverName: 'localhost', alpnProtocols: [ALPN] };
    const connection = endpoint.connect({ ...options, trust: { kind: 'any' } }, driver.now());
    await new Promise<void>((resolve, reject) => {
      ended.set(connection, (error) => (error === undefined ? resolve() : reject(error)));
      driver.wake();
    });
    ended.delete(connection);
    connection.close(0, '');
    driver.wake();
  };
  let left = count;
  const row = async () => {
    while (left-- > 0) await one();
  };
  await Promise.all(Array.from({ length: AT_A_TIME }, row));
  await driver.close();
}

answerParent((request) => {
  if (request.op !== 'handshakes') throw new Error(`unknown request ${request.op}`);
  return shakeHands(Number(request.port), Number(request.count));
});
