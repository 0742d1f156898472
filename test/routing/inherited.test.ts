import { closeSync, openSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, expect, it, onTestFinished } from 'vitest';
import { inheritedDescriptors } from '../../lb/inherited.ts';
import { holdUdpSocket } from '../../server/start/held-socket.ts';
import { issue, shortPacket, threeAlgorithms } from './cluster.ts';
import { FakeClient, udp, until } from './fakes.ts';
import { backends, closeNow, forwarder, kept, SOCKETS } from './house.ts';

describe('sockets that are handed over, as sd_listen_fds(3) has it', () => {
  it('are the descriptors from 3 on, as many as LISTEN_FDS says', () => {
    expect(inheritedDescriptors({ LISTEN_FDS: '2', LISTEN_PID: '7' }, 7)).toEqual([3, 4]);
    expect(inheritedDescriptors({ LISTEN_FDS: '1' }, 7)).toEqual([3]);
    expect(inheritedDescriptors({}, 7)).toEqual([]);
  });

  it('are none when they were meant for another process', () => {
    expect(inheritedDescriptors({ LISTEN_FDS: '2', LISTEN_PID: '6' }, 7)).toEqual([]);
  });

  it.each(['', '-1', 'two', '1000'])('are refused in one sentence when LISTEN_FDS is "%s"', (count) => {
    expect(() => inheritedDescriptors({ LISTEN_FDS: count }, 7)).toThrow(
      `LISTEN_FDS must be the number of sockets handed over, not "${count}".`,
    );
  });
});

async function freePort(): Promise<number> {
  const socket = await udp();
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(() => resolve()));
  return port;
}

/** dup(2), as a new process has it done by the kernel: Node cannot. */
function duplicate(descriptor: number): number {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  return koffi.load(null).func('int dup(int)')(descriptor) as number;
}

/** Holding needs libc, on Linux: there it must work. */
describe.runIf(process.platform === 'linux').each(SOCKETS)('%s sockets on a held descriptor', (socket) => {
  /** The socket of a forwarder, and descriptors of it for one forwarder after another, as each closes its own. */
  async function hold(): Promise<{ port: number; again: () => number }> {
    const port = await freePort();
    const held = holdUdpSocket(port);
    if (held === undefined) throw new Error('no socket could be held');
    onTestFinished(() => closeSync(held));
    return { port, again: () => duplicate(held) };
  }

  it('serve one forwarder after another, and what came between them', async () => {
    const { port, again } = await hold();
    const all = await backends(2);
    const cluster = threeAlgorithms(all.map(({ tunnel }) => tunnel));
    const client = kept(await FakeClient.open());
    const packet = shortPacket(issue(cluster, 1, 1));
    const at = { host: '127.0.0.1', port };
    const settings = { listen: `0.0.0.0:${port}` };
    const first = await forwarder(socket, cluster, { ...settings, inherited: [again()] });
    client.send(packet, at);
    await until(() => all[1]!.received.length === 1, 'the first packet');
    await closeNow(first);
    client.send(packet, at);
    client.send(packet, at);
    await forwarder(socket, cluster, { ...settings, inherited: [again()] });
    await until(() => all[1]!.received.length === 3, 'what waited in the kernel');
    client.send(packet, at);
    await until(() => all[1]!.received.length === 4, 'a packet after the change');
  });

  it('are refused in one sentence when bound elsewhere, too many, or no UDP sockets', async () => {
    const { port, again } = await hold();
    const cluster = threeAlgorithms(['127.0.0.1:9']);
    await expect(
      forwarder(socket, cluster, { listen: `127.0.0.1:${port}`, inherited: [again()] }),
    ).rejects.toThrow(
      `The socket that was handed over (LISTEN_FDS) for udp 127.0.0.1:${port} is bound to 0.0.0.0:${port}; let both name the same.`,
    );
    await expect(
      forwarder(socket, cluster, { listen: `0.0.0.0:${port}`, inherited: [98, 99] }),
    ).rejects.toThrow(
      '2 sockets were handed over (LISTEN_FDS), but `listen` names 1; name an address for each.',
    );
    const file = openSync(import.meta.filename, 'r');
    onTestFinished(() => closeSync(file));
    await expect(
      forwarder(socket, cluster, { listen: `0.0.0.0:${port}`, inherited: [file] }),
    ).rejects.toThrow(`What was handed over (LISTEN_FDS) for udp 0.0.0.0:${port} is no UDP socket.`);
  });
});
