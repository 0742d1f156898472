import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadSystemCalls } from '../../../net/udp/batched/libc.ts';
import { chooseSockets } from '../../../net/udp/choose.ts';
import type { PacketBatch } from '../../../net/udp/packet-batch.ts';
import type { UdpSocket } from '../../../net/udp/udp-socket.ts';
import { parseIp } from '../../../proto/wire/index.ts';
import { until } from '../../routing/fakes.ts';
import { SOCKETS } from '../../routing/house.ts';

const LOOPBACK = parseIp('127.0.0.1')!;

describe.each(SOCKETS)('a UDP socket of the kind %s', (kind) => {
  let socket: UdpSocket;
  let peer: Socket;
  let onBatch: (batch: PacketBatch) => void;
  let oversize = 0;
  const failures: string[] = [];
  const open = (host: string, ipv6Only = false) =>
    chooseSockets(kind).open({
      address: { host, port: 0 },
      ipv6Only,
      setting: '--listen',
      onBatch: (batch) => onBatch(batch),
      onOversize: () => oversize++,
      onSendFailure: (failure, datagrams) => {
        for (let i = 0; i < datagrams; i++) failures.push(failure);
      },
    });

  beforeEach(async () => {
    failures.length = 0;
    oversize = 0;
    onBatch = () => {};
    socket = await open('127.0.0.1');
    peer = createSocket('udp4');
    peer.bind(0, '127.0.0.1');
    await once(peer, 'listening');
  });

  afterEach(async () => {
    peer.close();
    await socket.close().catch(() => {});
  });

  const sendBurst = (count: number) => {
    for (let i = 0; i < count; i++) peer.send(Uint8Array.of(i, 1, 2), socket.local.port, '127.0.0.1');
  };

  test('hands over what came, with room for a header before each', async () => {
    const seen: number[] = [];
    onBatch = (batch) => {
      for (let i = 0; i < batch.count; i++) {
        expect(batch.starts[i]).toBeGreaterThanOrEqual(46);
        expect(batch.host(i)).toBe('127.0.0.1');
        expect(batch.ports[i]).toBe(peer.address().port);
        batch.data.fill(0xee, batch.starts[i]! - 46, batch.starts[i]);
        seen.push(...batch.packet(i).subarray(0, 1));
      }
    };
    sendBurst(100);
    await until(() => seen.length === 100, 'the burst');
    expect(seen).toEqual(Array.from({ length: 100 }, (_, i) => i));
  });

  test('sends from any memory, a short array of its own included', async () => {
    const received: Uint8Array[] = [];
    peer.on('message', (data) => received.push(new Uint8Array(data)));
    const shared = Uint8Array.from({ length: 200 }, (_, i) => i);
    const pieces = [shared.subarray(20, 30), Uint8Array.of(9, 8, 7), Buffer.from('text'), shared];
    for (let round = 0; round < 20; round++) {
      for (const piece of pieces) {
        socket.send(piece, 0, piece.length, LOOPBACK, 0, peer.address().port);
      }
    }
    socket.send(shared, 5, 7, LOOPBACK, 0, peer.address().port);
    socket.flush();
    await until(() => received.length === 81, 'all datagrams');
    for (const [i, piece] of pieces.entries()) expect(received[40 + i]).toEqual(new Uint8Array(piece));
    expect(received[80]).toEqual(Uint8Array.of(5, 6));
    expect(failures).toEqual([]);
  });

  test('closed within a batch, it reads and sends no more, and what is sent to it is a counted failure', async () => {
    let batches = 0;
    const calls = loadSystemCalls();
    let descriptor: number | undefined;
    onBatch = (batch) => {
      batches++;
      void socket.close();
      // Another socket takes the number of the closed descriptor: nothing may be sent from it by mistake.
      if (calls.ok) descriptor = calls.calls.open({ host: '127.0.0.1', port: 0 }, false);
      socket.send(batch.data, batch.starts[0]!, batch.ends[0]!, LOOPBACK, 0, peer.address().port);
      socket.flush();
    };
    sendBurst(100);
    await until(() => batches > 0, 'a batch');
    await until(() => failures.length === 1, 'the failure');
    if (calls.ok) calls.calls.close(descriptor!);
    expect(batches).toBe(1);
    expect(socket.kernelDrops()).toBeUndefined();
    socket = await open('127.0.0.1');
  });

  test('says which addresses it reaches, by its family and whether it is dual-stack', async () => {
    const four = LOOPBACK;
    const six = parseIp('::1')!;
    const reach = (one: UdpSocket) => [one.reaches(four, 0), one.reaches(six, 0)];
    expect(reach(socket)).toEqual([true, false]);
    for (const [host, ipv6Only, expected] of [
      ['::1', false, [false, true]],
      ['::', false, [true, true]],
      ['::', true, [false, true]],
    ] as const) {
      const other = await open(host, ipv6Only);
      expect(reach(other)).toEqual(expected);
      await other.close();
    }
  });

  test.each([
    ['127.0.0.1', '127.0.0.1', '127.0.0.1'],
    ['0.0.0.0', '127.0.0.1', '127.0.0.1'],
    ['::', '127.0.0.1', '127.0.0.1'],
    ['::', '::1', '::1'],
  ])('bound to %s and called at %s it says so, and answers from there', async (bound, called) => {
    const other = await open(bound);
    const caller = createSocket(called.includes(':') ? 'udp6' : 'udp4');
    caller.bind(0, called);
    await once(caller, 'listening');
    const locals: string[] = [];
    onBatch = (batch) => {
      for (let i = 0; i < batch.count; i++) {
        locals.push(batch.local(i));
        const [start, end] = [batch.starts[i]!, batch.ends[i]!];
        other.send(batch.data, start, end, batch.hosts, i * 16, batch.ports[i]!, batch.locals, i * 16);
      }
      other.flush();
    };
    const answers: string[] = [];
    caller.on('message', (data, from) => answers.push(`${data.length} from ${from.address} ${from.port}`));
    for (const octets of [30, 30, 20]) caller.send(new Uint8Array(octets), other.local.port, called);
    await until(() => answers.length === 3, 'the answers');
    expect(locals).toEqual([called, called, called]);
    expect(answers).toEqual([30, 30, 20].map((octets) => `${octets} from ${called} ${other.local.port}`));
    caller.close();
    await other.close();
  });

  test('an address in use, or not of this machine, is one clear sentence', async () => {
    const again = chooseSockets(kind).open({
      address: { host: '127.0.0.1', port: socket.local.port },
      ipv6Only: false,
      setting: '--listen',
      onBatch: () => {},
      onOversize: () => {},
      onSendFailure: () => {},
    });
    await expect(again).rejects.toThrow(
      `udp 127.0.0.1:${socket.local.port} is in use by another process; stop it or choose another with --listen.`,
    );
    await expect(open('192.0.2.1')).rejects.toThrow(
      'udp 192.0.2.1:0 is not an address of this machine; choose another with --listen.',
    );
  });
});

describe('the choice of sockets', () => {
  test('is dgram when the configuration says so, and batches on Linux by itself', () => {
    expect(chooseSockets('dgram')).toMatchObject({ kind: 'dgram', why: 'the configuration says so' });
    expect(chooseSockets('auto').kind).toBe(SOCKETS[0]);
  });
});
