import { describe, expect, test } from 'vitest';
import { IncomingStreams } from '../../../server/webtransport/incoming.ts';
import { MAX_CLIENT_STREAMS } from '../../../server/webtransport/limits.ts';

function incoming() {
  const refused: number[] = [];
  return { streams: new IncomingStreams<number>((stream) => refused.push(stream)), refused };
}

const all = async (streams: IncomingStreams<number>) => {
  const got: number[] = [];
  for await (const stream of streams.readable) got.push(stream);
  return got;
};

describe('streams that the client opened, to a listener', () => {
  test('those that came before it, and those that come after', () => {
    const { streams, refused } = incoming();
    const got: number[] = [];
    streams.add(1);
    streams.add(2);
    streams.listen((stream) => got.push(stream));
    streams.add(3);
    expect([got, refused]).toEqual([[1, 2, 3], []]);
  });

  test('no more once it was stopped: they are turned away', () => {
    const { streams, refused } = incoming();
    const got: number[] = [];
    const stop = streams.listen((stream) => got.push(stream));
    streams.add(1);
    stop();
    streams.add(2);
    expect([got, refused]).toEqual([[1], [2]]);
  });

  test('what came before a close is taken still, what came before a loss is not', () => {
    for (const [error, expected] of [
      [undefined, [1]],
      [new Error('lost'), []],
    ] as const) {
      const { streams } = incoming();
      const got: number[] = [];
      streams.add(1);
      streams.end(error);
      streams.listen((stream) => got.push(stream));
      expect(got).toEqual(expected);
    }
  });
});

describe('and as a stream of streams, whenever it is asked for', () => {
  test('before they come', async () => {
    const { streams } = incoming();
    const reading = all(streams);
    for (const stream of [1, 2, 3]) streams.add(stream);
    streams.end(undefined);
    expect(await reading).toEqual([1, 2, 3]);
  });

  test('after the session is over', async () => {
    const { streams } = incoming();
    streams.add(1);
    streams.end(undefined);
    expect(await all(streams)).toEqual([1]);
    const none = incoming().streams;
    none.end(undefined);
    expect(await all(none)).toEqual([]);
  });

  test('after it was lost', async () => {
    const { streams } = incoming();
    streams.add(1);
    streams.end(new Error('the session was lost'));
    await expect(all(streams)).rejects.toThrow('the session was lost');
  });

  test('those that are taken by neither are bounded', () => {
    const { streams, refused } = incoming();
    for (let stream = 0; stream < MAX_CLIENT_STREAMS + 5; stream++) streams.add(stream);
    expect(refused).toEqual([0, 1, 2, 3, 4].map((more) => MAX_CLIENT_STREAMS + more));
  });

  test('those that nothing took are turned away when it is cancelled', async () => {
    const { streams, refused } = incoming();
    streams.add(1);
    await streams.readable.cancel();
    streams.add(2);
    expect(refused).toEqual([1, 2]);
  });
});
