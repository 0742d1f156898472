import { constants } from 'node:os';
import { describe, expect, test } from 'vitest';
import type { SystemCalls } from '../../../lb/batched/libc.ts';
import { NAME_LENGTH } from '../../../lb/batched/message-table.ts';
import { SendQueue } from '../../../lb/batched/send-queue.ts';
import { parseIp } from '../../../proto/wire/index.ts';

const { EAGAIN, ECONNREFUSED, EINTR, EMSGSIZE, ENOBUFS, EPERM } = constants.errno;
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

  constructor(...script: number[]) {
    this.#script = script;
    const calls = {
      addressOf: () => TABLE_AT + this.#tables++ * 2 ** 32,
      send: (_descriptor: number, messages: number, count: number) => {
        this.shown.push([(messages - TABLE_AT) / MESSAGE_OCTETS, count]);
        // Beyond its script it takes everything.
        return this.#script.shift() ?? count;
      },
    } as unknown as SystemCalls;
    this.queue = new SendQueue(calls, 7, NAME_LENGTH.ipv4, (...failure) => this.failures.push(failure));
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
    const kernel = new ScriptedKernel(3, 1);
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
    ['refused for a reason nobody knows', 12345, 'other'],
  ])('lose only the one that is %s', (_what, errno, failure) => {
    const kernel = new ScriptedKernel(2, -errno);
    kernel.send(6);
    kernel.queue.flush();
    expect(kernel.shown.at(-1)).toEqual([3, 3]);
    expect(kernel.failures).toEqual([[failure, 1]]);
  });

  test.each([EAGAIN, ENOBUFS])(
    'are dropped and counted from where the kernel’s queue is full (errno %i)',
    (errno) => {
      const kernel = new ScriptedKernel(2, -errno);
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
    const kernel = new ScriptedKernel(2, -errno);
    kernel.send(6);
    kernel.queue.flush();
    expect(kernel.shown).toEqual([
      [0, 6],
      [2, 4],
      [2, 4],
    ]);
    expect(kernel.failures).toEqual([]);
  });

  test('end even when every single one fails twice, or the kernel says that it sent none', () => {
    for (const answer of [-ECONNREFUSED, -EINTR, 0]) {
      const kernel = new ScriptedKernel(...Array.from({ length: 1000 }, () => answer));
      kernel.send(64);
      kernel.queue.flush();
      expect(kernel.shown.length).toBeLessThanOrEqual(128);
      expect(kernel.failures).toHaveLength(64);
    }
  });
});
