import { expect, test } from 'vitest';
import { StreamSender } from '../../../server/bridge/stream-sender.ts';
import { type StreamOwner, StreamWriter } from '../../../server/webtransport/streams.ts';
import { StreamError } from '../../../server/webtransport/types.ts';

const STREAM_ID = 5;
const FULL_OCTETS = 1024 * 1024;
const turn = () => new Promise((resolve) => setTimeout(resolve, 0));

/** A sender over the writer of a stream, and what the stream's machine was told. */
function makeSender() {
  const told: (string | number)[] = [];
  const dropped: number[] = [];
  const carrier = { bufferedOctets: 0, opened: 0 };
  const machine = {
    writeStream: (_id: number, data: Uint8Array, fin = false) => told.push(fin ? 'FIN' : data[0]!),
    commitStream: () => told.push('commit'),
    resetStream: (_id: number, code: number) => told.push(`reset ${code}`),
    streamBufferedOctets: () => carrier.bufferedOctets,
  };
  const owner = { machine, wake: () => {}, forget: () => {} } as unknown as StreamOwner;
  const writer = new StreamWriter(owner, STREAM_ID);
  const sender = new StreamSender(
    () => {
      carrier.opened += 1;
      return Promise.resolve(writer.writable);
    },
    { taken: () => {}, dropped: (octets) => dropped.push(octets) },
    writer,
  );
  return {
    told,
    dropped,
    carrier,
    writer,
    sender,
    say: (octet: number) => sender.push(Uint8Array.of(octet)),
  };
}

test('pieces are written at once, and the first is committed, without the WritableStream', () => {
  const { told, carrier, say } = makeSender();
  say(1);
  say(2);
  expect([told, carrier.opened]).toEqual([[1, 'commit', 2], 0]);
});

test('what the stream does not take at once comes behind, in order, and then the end', async () => {
  const { told, carrier, writer, sender, say } = makeSender();
  say(1);
  carrier.bufferedOctets = FULL_OCTETS;
  say(2);
  say(3);
  await turn();
  carrier.bufferedOctets = 0;
  writer.notifyDrained();
  say(4);
  await turn();
  say(5);
  sender.end();
  await turn();
  expect(told).toEqual([1, 'commit', 2, 3, 4, 5, 'FIN']);
  writer.notifyFinished();
  await sender.over;
});

test('a reset goes out at once, with its code, and nothing behind it', async () => {
  const { told, dropped, sender, writer, say } = makeSender();
  say(1);
  sender.abort(7);
  say(2);
  expect([told, dropped]).toEqual([[1, 'commit', 'reset 7'], [1]]);
  await expect(writer.writable.getWriter().closed).rejects.toBeInstanceOf(StreamError);
});

test('a stream that the peer stopped drops what is pushed later', async () => {
  const { told, dropped, writer, sender, say } = makeSender();
  say(1);
  writer.fail(new StreamError(9, 'the peer stopped the stream'));
  say(2);
  await sender.over;
  expect([told, dropped]).toEqual([[1, 'commit'], [1]]);
});
