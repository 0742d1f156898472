import { constants } from 'node:os';
import { describe, expect, test } from 'vitest';
import type { SystemCalls } from '../../../net/udp/batched/libc.ts';
import { NAME_LENGTH } from '../../../net/udp/batched/message-table.ts';
import { SendQueue } from '../../../net/udp/batched/send-queue.ts';
import { parseIp } from '../../../proto/wire/index.ts';

const { EAGAIN, ECONNREFUSED, EINTR, EINVAL, EIO, EMSGSIZE, ENOBUFS, EPERM } = constants.errno;
const HOST = parseIp('192.0.2.1')!;
const MESSAGE_OCTETS = 64;
const TABLE_AT = 0x7f00_0000_0000;

/** A kernel that answers each sendmmsg with what is scripted, and remembers which messages it was shown. */
class ScriptedKernel {
  readonly shown: [first: number, count: number][] = [];
  readonly failures: [failure: string, datagrams: number][] = [];
  readonly #script: number[];
  readonly queue: SendQueue;
  #tables = 0;

  constructor(script: number[] = [], canSegment = false, keepsUnsent = false) {
    this.#script = script;
    const calls = {
      canSegment,
      addressOf: () => TABLE_AT + this.#tables++ * 2 ** 32,
      send: (_descriptor: number, messages: number, count: number) => {
        this.shown.push([(messages - TABLE_AT) / MESSAGE_OCTETS, count]);
        // Beyond its script it takes everything.
        return this.#script.shift() ?? count;
      },
    } as unknown as SystemCalls;
    const onFailure = (...failure: [string, number]) => this.failures.push(failure);
    this.queue = new SendQueue(calls, 7, NAME_LENGTH.ipv4, onFailure, keepsUnsent);
  }

  send(count: number): void {
    const data = new Uint8Array(100);
    for (let i = 0; i < count; i++) this.queue.add(data, 0, 10, HOST, 0, 4433);
  }
}

describe('datagrams that leave together', () => {
  test('leave in one system call, and none is made for none', () => {
    const kernel = new ScriptedKernel();
    kernel.queue.flush();
    kernel.send(5);
    kernel.queue.flush();
    kernel.queue.flush();
    expect(kernel.shown).toEqual([[0, 5]]);
  });

  test('leave when the queue is full, before the next is taken', () => {
    const kernel = new ScriptedKernel();
    kernel.send(150);
    kernel.queue.flush();
    expect(kernel.shown).toEqual([
      [0, 64],
      [0, 64],
      [0, 22],
    ]);
  });

  test('go on where the kernel stopped', () => {
    const kernel = new ScriptedKernel([3, 1]);
    kernel.send(6);
    kernel.queue.flush();
    expect(kernel.shown).toEqual([
      [0, 6],
      [3, 3],
      [4, 2],
    ]);
    expect(kernel.failures).toEqual([]);
  });

  test.each([
    ['too large', EMSGSIZE, 'tooLarge'],
    ['for an address that the firewall forbids', EPERM, 'unreachable'],
    ['refused for an unknown reason', 12345, 'other'],
  ])('lose only the one that is %s', (_what, errno, failure) => {
    const kernel = new ScriptedKernel([2, -errno]);
    kernel.send(6);
    kernel.queue.flush();
    expect(kernel.shown.at(-1)).toEqual([3, 3]);
    expect(kernel.failures).toEqual([[failure, 1]]);
  });

  test.each([EAGAIN, ENOBUFS])(
    'are dropped and counted from where the kernel’s queue is full (errno %i)',
    (errno) => {
      const kernel = new ScriptedKernel([2, -errno]);
      kernel.send(6);
      kernel.queue.flush();
      expect(kernel.shown).toHaveLength(2);
      expect(kernel.failures).toEqual([['full', 4]]);
      kernel.send(1);
      kernel.queue.flush();
      expect(kernel.shown.at(-1)).toEqual([0, 1]);
    },
  );

  test.each([
    ['an ICMP message', ECONNREFUSED],
    ['a signal', EINTR],
  ])('are tried again after %s, which is about another, and lose nothing', (_what, errno) => {
    const kernel = new ScriptedKernel([2, -errno]);
    kernel.send(6);
    kernel.queue.flush();
    expect(kernel.shown).toEqual([
      [0, 6],
      [2, 4],
      [2, 4],
    ]);
    expect(kernel.failures).toEqual([]);
  });

  test('of one size to one address are one message; the last may be shorter; another size, address or port is another', () => {
    const kernel = new ScriptedKernel([], true);
    const data = new Uint8Array(5000);
    const add = (octets: number, host = HOST, port = 4433) =>
      kernel.queue.add(data, 0, octets, host, 0, port);
    const runs: [sizes: number[], host?: Uint8Array, port?: number][] = [
      [[100, 100, 100, 60]],
      [[60, 60]],
      [[61]],
      [[0]],
      [[0]],
      [[50, 50], parseIp('192.0.3.1')!],
      [[50], parseIp('192.0.3.1')!, 4434],
      [[50, 49], HOST, 4434],
    ];
    for (const [sizes, host, port] of runs) for (const octets of sizes) add(octets, host, port);
    kernel.queue.flush();
    expect(kernel.shown).toEqual([[0, runs.length]]);
  });

  test('never make a message of more octets than a datagram may have', () => {
    const kernel = new ScriptedKernel([], true);
    for (let i = 0; i < 15; i++) kernel.queue.add(new Uint8Array(9216), 0, 9216, HOST, 0, 4433);
    kernel.queue.flush();
    expect(kernel.shown).toEqual([[0, 3]]);
  });

  test('go one by one when the kernel refuses them as segments, and only those that it refuses then are lost', () => {
    // Two messages of three: the first is refused, then sent apart, of which the second is refused again.
    const kernel = new ScriptedKernel([-EINVAL, 1, -EMSGSIZE, 1, 1], true);
    const data = new Uint8Array(100);
    for (let i = 0; i < 6; i++) kernel.queue.add(data, 0, 100, HOST, 0, i < 3 ? 1 : 2);
    kernel.queue.flush();
    expect(kernel.shown).toEqual([
      [0, 2],
      [0, 1],
      [0, 1],
      [0, 1],
      [1, 1],
    ]);
    expect(kernel.failures).toEqual([['tooLarge', 1]]);
  });

  test.each([
    ['of their size or more, when they do not fit the path', EINVAL, [200, 100, 99], [2, 2, 1]],
    ['of any size, when the device cannot part them', EIO, [200, 100, 99], [2, 2, 2]],
    ['as before, when nothing at all can be sent there', EPERM, [200, 100, 99], [1, 1, 1]],
  ])('are not tried again as segments %s', (_what, errno, sizes, messages) => {
    const apart = errno === EPERM ? [-EPERM, -EPERM] : [1, 1];
    const kernel = new ScriptedKernel([-errno, ...apart], true);
    const data = new Uint8Array(200);
    const pair = (octets: number) => {
      for (let i = 0; i < 2; i++) kernel.queue.add(data, 0, octets, HOST, 0, 1);
      kernel.queue.flush();
    };
    pair(100);
    for (const octets of sizes) pair(octets);
    expect(kernel.shown.slice(3).map(([, count]) => count)).toEqual(messages);
  });

  test('are all counted when the queue is full behind messages of several', () => {
    const kernel = new ScriptedKernel([1, -EAGAIN], true);
    const data = new Uint8Array(100);
    for (let i = 0; i < 9; i++) kernel.queue.add(data, 0, 100, HOST, 0, i < 4 ? 1 : 2);
    kernel.queue.flush();
    expect(kernel.failures).toEqual([['full', 5]]);
  });

  test('end even when every single one fails twice, or the kernel says that it sent none', () => {
    for (const answer of [-ECONNREFUSED, -EINTR, 0]) {
      const kernel = new ScriptedKernel(Array.from({ length: 1000 }, () => answer));
      kernel.send(64);
      kernel.queue.flush();
      expect(kernel.shown.length).toBeLessThanOrEqual(128);
      expect(kernel.failures).toHaveLength(64);
    }
  });
});

describe('datagrams that are kept while the kernel’s queue is full', () => {
  test('leave first at the next flush, each once, in order', () => {
    const kernel = new ScriptedKernel([2, -EAGAIN, -EAGAIN, 1, -ENOBUFS], false, true);
    kernel.send(6);
    kernel.queue.flush();
    expect(kernel.queue.isFull).toBe(true);
    kernel.queue.flush();
    kernel.queue.flush();
    expect(kernel.queue.isFull).toBe(true);
    kernel.queue.flush();
    expect(kernel.queue.isFull).toBe(false);
    expect(kernel.shown).toEqual([
      [0, 6],
      [2, 4],
      [2, 4],
      [2, 4],
      [3, 3],
      [3, 3],
    ]);
    expect(kernel.failures).toEqual([]);
    kernel.send(1);
    kernel.queue.flush();
    expect(kernel.shown.at(-1)).toEqual([0, 1]);
  });

  test('are one batch at most: what is sent until then is dropped and counted', () => {
    const kernel = new ScriptedKernel([-EAGAIN], false, true);
    kernel.send(4);
    kernel.queue.flush();
    kernel.send(100);
    expect(kernel.failures).toEqual(Array.from({ length: 100 }, () => ['full', 1]));
    kernel.queue.flush();
    expect(kernel.shown).toEqual([
      [0, 4],
      [0, 4],
    ]);
  });

  test('go on behind messages of several, and behind one that fails', () => {
    const kernel = new ScriptedKernel([-EAGAIN, -EPERM], true, true);
    kernel.send(3);
    kernel.queue.flush();
    kernel.queue.flush();
    expect(kernel.queue.isFull).toBe(false);
    // The message of three was taken apart after its failure.
    expect(kernel.failures).toEqual([]);
    expect(kernel.shown).toEqual([
      [0, 1],
      [0, 1],
      [0, 1],
      [0, 1],
      [0, 1],
    ]);
  });
});
