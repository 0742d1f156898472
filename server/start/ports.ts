import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { listenFault } from '../../net/listen-fault.ts';
import { StartupError } from '../../net/startup.ts';

/** A port that is about to be used. */
export interface WantedPort {
  readonly what: string;
  readonly protocol: 'tcp' | 'udp';
  readonly host: string;
  readonly port: number;
  /** The flag that sets it. */
  readonly flag: string;
}

function tryTcp({ host, port }: WantedPort): Promise<Error | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', resolve);
    server.listen(port, host, () => server.close(() => resolve(undefined)));
  });
}

function tryUdp({ host, port }: WantedPort): Promise<Error | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4');
    socket.once('error', (error) => {
      socket.close();
      resolve(error);
    });
    socket.bind(port, host, () => socket.close(() => resolve(undefined)));
  });
}

/**
 * Checks that ports are free, before anything is written or started: what runs already must not be disturbed. Throws
 * `StartupError`, one sentence for each port that is not free.
 */
export async function checkPorts(ports: readonly WantedPort[]): Promise<void> {
  const faults: string[] = [];
  const seen = new Map<string, WantedPort>();
  for (const wanted of ports) {
    const key = `${wanted.protocol} ${wanted.port}`;
    const other = seen.get(key);
    if (other !== undefined) {
      faults.push(`${wanted.flag} and ${other.flag} name the same port, ${key}; change one of them.`);
      continue;
    }
    seen.set(key, wanted);
    const error = await (wanted.protocol === 'tcp' ? tryTcp(wanted) : tryUdp(wanted));
    if (error !== undefined)
      faults.push(listenFault(wanted.what, wanted.protocol, wanted, error, wanted.flag));
  }
  if (faults.length > 0) throw new StartupError(faults.join('\n'));
}
