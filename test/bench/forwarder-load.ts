import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { encodeConnectionId } from '../../proto/quic-lb/index.ts';
import { fromHex } from '../../proto/wire/index.ts';
import { answerParent } from './child.ts';
import type { BenchQuicLb } from './forwarder.ts';

/** Sends short-header packets as fast as it can, as so many clients. */
const CLIENTS = 16;
/** Packets that one client sends in a row. */
const BURST = 32;

function start(port: number, lb: BenchQuicLb, serverId: Uint8Array, octets: number): void {
  const config = { ...lb, key: fromHex(lb.key)! };
  for (let i = 0; i < CLIENTS; i++) {
    const packet = randomBytes(octets);
    packet[0] = 0x40 | (packet[0]! & 0x3f);
    packet.set(encodeConnectionId(config, serverId, new Uint8Array(randomBytes(lb.nonceLength))), 1);
    const socket = createSocket('udp4');
    socket.on('error', () => {});
    socket.connect(port, '127.0.0.1', () => {
      const burst = () => {
        for (let sent = 0; sent < BURST; sent++) socket.send(packet);
        setImmediate(burst);
      };
      burst();
    });
  }
}

answerParent((request) => {
  if (request.op !== 'start') throw new Error(`unknown request ${request.op}`);
  const { port, lb, serverId, octets } = request;
  start(Number(port), lb as BenchQuicLb, fromHex(String(serverId))!, Number(octets));
});
