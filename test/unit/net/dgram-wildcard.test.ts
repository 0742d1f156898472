import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import { expect, onTestFinished, test } from 'vitest';
import { openWildcard } from '../../../net/udp/dgram/wildcard.ts';
import type { PacketBatch, UdpSocket } from '../../../net/udp/index.ts';

/** A wildcard of `dgram` sockets that sends everything back from where it came to, on a machine with the addresses of `listed`, or on this one. */
async function open(listed: { now: string[] } | undefined, host = '0.0.0.0'): Promise<UdpSocket> {
  const socket = await openWildcard(
    {
      address: { host, port: 0 },
      ipv6Only: false,
      setting: '--listen',
      onBatch: (batch: PacketBatch, to: UdpSocket) =>
        to.send(
          batch.data,
          batch.starts[0]!,
          batch.ends[0]!,
          batch.hosts,
          0,
          batch.ports[0]!,
          batch.locals,
          0,
        ),
      onOversize: () => {},
      onSendFailure: () => {},
    },
    listed && (() => listed.now),
    10,
  );
  onTestFinished(() => socket.close());
  return socket;
}

/** Where the answer comes from when this address is called. */
async function answererOf(called: string, { local }: UdpSocket, callerHost = '127.0.0.1'): Promise<string> {
  const caller = createSocket('udp4').bind(0, callerHost);
  onTestFinished(() => void caller.close());
  await once(caller, 'listening');
  caller.send(Uint8Array.of(1), local.port, called);
  const [, from] = (await once(caller, 'message')) as [Buffer, { address: string; port: number }];
  expect(from.port).toBe(local.port);
  return from.address;
}

test('answers from each address of the machine, when it is called there', async () => {
  const socket = await open({ now: ['127.0.0.1', '127.0.0.5', '127.0.0.6', '::1', 'fe80::1'] });
  for (const called of ['127.0.0.5', '127.0.0.1', '127.0.0.6'])
    expect(await answererOf(called, socket)).toBe(called);
});

test('answers from each IPv4 address that this machine really has, found by itself', async () => {
  const own = Object.values(networkInterfaces())
    .flatMap((list = []) => list)
    .flatMap(({ family, address }) => (family === 'IPv4' ? [address] : []));
  expect(own).toContain('127.0.0.1');
  const socket = await open(undefined);
  for (const called of own) expect(await answererOf(called, socket, called)).toBe(called);
});

test('takes up an address that comes, and lets go of one that goes', async () => {
  const listed = { now: ['127.0.0.1', '127.0.0.5'] };
  const socket = await open(listed);
  // Not known yet: the kernel's routes choose the source.
  expect(await answererOf('127.0.0.7', socket)).toBe('127.0.0.1');
  listed.now = ['127.0.0.1', '127.0.0.7'];
  const end = Date.now() + 5000;
  while ((await answererOf('127.0.0.7', socket)) !== '127.0.0.7') expect(Date.now()).toBeLessThan(end);
  while ((await answererOf('127.0.0.5', socket)) !== '127.0.0.1') expect(Date.now()).toBeLessThan(end);
});

test('of both families, it answers IPv4 callers from the address they called', async () => {
  const socket = await open({ now: ['127.0.0.1', '127.0.0.8', '::1'] }, '::');
  expect(await answererOf('127.0.0.8', socket)).toBe('127.0.0.8');
});

test('does not share its port with another process, or with itself a second time', async () => {
  const socket = await open({ now: ['127.0.0.1'] });
  const { port } = socket.local;
  const options = {
    address: { host: '0.0.0.0', port },
    ipv6Only: false,
    setting: '--listen',
    onBatch: () => {},
    onOversize: () => {},
    onSendFailure: () => {},
  };
  await expect(openWildcard(options)).rejects.toThrow(
    `udp 0.0.0.0:${port} is in use by another process; stop it or choose another with --listen.`,
  );
});
