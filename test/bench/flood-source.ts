import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { choosePacketCiphers } from '../../net/ciphers/index.ts';
import { QuicEndpoint } from '../../proto/quic/index.ts';
import { answerParent } from './child.ts';

/** Sends first packets from many addresses that never answer: what a forged address looks like to a server. */

const SOURCES = 50;
const TICK_MS = 10;

const random = (length: number) => new Uint8Array(randomBytes(length));

/** First packets of that many clients, each whole and right. */
function firstPackets(count: number): Uint8Array[] {
  const endpoint = new QuicEndpoint({
    ciphers: choosePacketCiphers().ciphers,
    random,
    connectionIdGenerator: { length: 8, generate: () => random(8) },
  });
  return Array.from({ length: count }, () => {
    const remote = { host: '127.0.0.1', port: 1 };
    endpoint.connect({ remote, serverName: 'localhost', alpnProtocols: ['h3'], trust: { kind: 'any' } }, 0);
    const packet = endpoint.transmit(0)!.data;
    while (endpoint.transmit(0) !== undefined);
    return packet;
  });
}

async function openSources(): Promise<Socket[]> {
  return Promise.all(
    Array.from({ length: SOURCES }, async (_, i) => {
      const socket = createSocket('udp4');
      await new Promise<void>((resolve) => socket.bind(0, `127.9.0.${i + 1}`, resolve));
      return socket;
    }),
  );
}

let packets: Uint8Array[] = [];
let sockets: Socket[] = [];
let timer: NodeJS.Timeout | undefined;
let sent = 0;

answerParent(async ({ op, port, perSecond, distinct }) => {
  switch (op) {
    case 'prepare':
      packets = firstPackets(distinct as number);
      sockets = await openSources();
      return SOURCES;
    case 'flood': {
      sent = 0;
      const start = performance.now();
      timer = setInterval(() => {
        const due = ((performance.now() - start) * (perSecond as number)) / 1000;
        for (; sent < due; sent++)
          sockets[sent % SOURCES]!.send(
            packets[sent % packets.length]!,
            port as number,
            '127.0.0.1',
            () => {},
          );
      }, TICK_MS);
      return undefined;
    }
    case 'stop':
      clearInterval(timer);
      return sent;
    default:
      throw new Error(`"${op}" is not a request of this benchmark`);
  }
});
