import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below the ports that Linux gives to sockets that ask for none, so that no client of another test sits on it by chance. */
const FIRST = 10_240;
const COUNT = 22_000;
const ATTEMPTS = 50;
/** Those that this process gave out: they are free until their process binds them. */
const given = new Set<number>();

/** A port of 127.0.0.1 that is free for UDP and TCP alike. */
export async function freePort(): Promise<number> {
  for (let i = 0; i < ATTEMPTS; i++) {
    const port = FIRST + Math.floor(Math.random() * COUNT);
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
  throw new Error(`None of ${ATTEMPTS} ports of 127.0.0.1 was free for UDP and TCP.`);
}

async function isFree(port: number): Promise<boolean> {
  const udp = createSocket('udp4');
  const tcp = createServer();
  try {
    udp.bind(port, '127.0.0.1');
    await once(udp, 'listening');
    tcp.listen(port, '127.0.0.1');
    await once(tcp, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    udp.close();
    if (tcp.listening) await new Promise((resolve) => tcp.close(resolve));
  }
}
