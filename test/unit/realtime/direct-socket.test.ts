import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterEach, describe, expect, test } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { appendFrame, appendText } from '../../../server/realtime/append-frames.ts';
import { DirectSocket } from '../../../server/realtime/direct-socket.ts';
import { SeededRandom } from '../../simulation/random.ts';
import { until } from '../../support/realtime.ts';
import { pem } from '../../support/upstream-peer.ts';

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0).reverse()) cleanup();
});

/** A server, and a WebSocket of ws to it over a direct socket. `first` writes what goes with the answer, in one record. */
async function connected(first: (server: WebSocket, raw: Duplex) => void = () => {}) {
  const server = createServer({ cert: pem.certificate, key: pem.key });
  const sockets: WebSocket[] = [];
  const raws: Duplex[] = [];
  const webSockets = new WebSocketServer({ noServer: true });
  server.on('upgrade', (request, raw, head) => {
    raw.on('error', () => {});
    raw.cork();
    webSockets.handleUpgrade(request, raw, head, (socket) => {
      socket.on('error', () => {});
      sockets.push(socket);
      raws.push(raw);
      first(socket, raw);
    });
    raw.uncork();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => {
    for (const socket of sockets) socket.terminate();
    server.close();
  });
  const seen: string[] = [];
  const ways = { direct: 0, ws: 0 };
  let heard = () => {};
  const direct = new DirectSocket((message) => {
    seen.push(message.toString());
    ways.direct += 1;
    heard();
  });
  const onSeen = (listener: () => void) => {
    heard = listener;
  };
  const client = new WebSocket(`wss://localhost:${(server.address() as AddressInfo).port}`, {
    ca: pem.certificate,
    perMessageDeflate: false,
    createConnection: direct.createConnection,
    finishRequest: (request, webSocket) => {
      direct.follow(request, webSocket);
      request.end();
    },
  });
  client.on('error', () => {});
  client.on('message', (data) => {
    seen.push(String(data));
    ways.ws += 1;
  });
  cleanups.push(() => client.terminate());
  await until(() => client.readyState === WebSocket.OPEN && sockets.length > 0, 'open');
  return { client, direct, seen, ways, onSeen, server: sockets[0]!, raw: raws[0]! };
}

describe('messages of the server', () => {
  test('come directly where they are whole in a record; long ones, fragments and control frames by ws; all in order', async () => {
    const { client, seen, ways, server } = await connected();
    let pongs = 0;
    server.on('pong', () => {
      pongs += 1;
    });
    const long = 'x'.repeat(100_000);
    server.send('one');
    server.ping();
    server.send(long);
    server.send('two');
    server.send('thr', { fin: false });
    server.ping();
    server.send('ee');
    server.send(Buffer.from('four'));
    await until(() => seen.length === 5, 'all messages');
    expect(seen).toEqual(['one', long, 'two', 'three', 'four']);
    expect(ways).toEqual({ direct: 3, ws: 2 });
    await until(() => pongs === 2, 'the pongs');
    server.close(4000, 'done');
    const closed = await new Promise((resolve) =>
      client.on('close', (code, why) => resolve([code, `${why}`])),
    );
    expect(closed).toEqual([4000, 'done']);
  });

  test('that come with the answer to the handshake go before those behind them', async () => {
    const { seen, ways, server } = await connected((socket) => {
      socket.send('first');
      socket.send('second');
    });
    server.send('third');
    await until(() => seen.length === 3, 'all messages');
    server.send('fourth');
    await until(() => seen.length === 4, 'one more');
    expect(seen).toEqual(['first', 'second', 'third', 'fourth']);
    expect(ways.direct).toBeGreaterThan(0);
  });

  test('of which the answer to the handshake brings a part are whole', async () => {
    const text = 'a message in two parts';
    const frame = Buffer.concat([Buffer.from([0x81, text.length]), Buffer.from(text)]);
    for (const cut of [1, 2, 9]) {
      const { seen, ways, server, raw } = await connected((_, socket) =>
        socket.write(frame.subarray(0, cut)),
      );
      raw.write(frame.subarray(cut));
      server.send('behind');
      await until(() => seen.length === 2, 'both messages');
      expect(seen).toEqual([text, 'behind']);
      expect(ways.ws).toBeGreaterThan(0);
    }
  });

  test('wait while the WebSocket is paused; none is lost, doubled or overtaken, whatever their lengths', async () => {
    const { client, seen, ways, server } = await connected();
    const random = new SeededRandom(7);
    const sent: string[] = [];
    for (let n = 0; n < 600; n++) {
      const length = random.pick([3, 200, 2700, 20_000, 70_000]);
      const text = `${n} ${'.'.repeat(length)}`;
      sent.push(text);
      if (random.integer(1, 8) > 1) server.send(text);
      else {
        server.send(text.slice(0, 2), { fin: false });
        server.send(text.slice(2));
      }
      if (random.integer(1, 10) === 1) client.pause();
      if (random.integer(1, 5) === 1) await new Promise((resolve) => setImmediate(resolve));
      if (client.isPaused && random.integer(1, 4) === 1) client.resume();
    }
    client.pause();
    const before = seen.length;
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(seen.length).toBe(before);
    client.resume();
    await until(() => seen.length === sent.length, 'all messages');
    expect(seen.every((text, n) => text === sent[n])).toBe(true);
    expect(ways.direct).toBeGreaterThan(100);
    expect(ways.ws).toBeGreaterThan(100);
  });

  test('come no more when one of them made the listener end the WebSocket', async () => {
    const { client, seen, server, raw, onSeen } = await connected();
    onSeen(() => client.terminate());
    raw.cork();
    for (let n = 0; n < 5; n++) server.send(`${n}`);
    raw.uncork();
    await until(() => client.readyState === WebSocket.CLOSED, 'the end');
    expect(seen).toEqual(['0']);
  });
});

describe('frames that are written', () => {
  test('arrive among the messages of ws, in order', async () => {
    const { client, direct, server } = await connected();
    const got: string[] = [];
    server.on('message', (data) => got.push(String(data)));
    const pcm = (n: number) => new Uint8Array(1920).fill(n);
    for (let n = 0; n < 3; n++) {
      await until(() => direct.takesFrames, 'room');
      direct.write(appendFrame(pcm(n))!);
      // Its memory is used again at once, and what was written stays.
      appendFrame(pcm(99));
      client.send(`${n}`);
    }
    await until(() => got.length === 6, 'all');
    expect(got).toEqual([0, 1, 2].flatMap((n) => [appendText(pcm(n)), `${n}`]));
  });

  test('are not taken while something waits, nor once the WebSocket closes', async () => {
    const { client, direct, server } = await connected();
    expect(direct.takesFrames).toBe(true);
    server.pause();
    client.send('x'.repeat(16 << 20));
    expect(direct.takesFrames).toBe(false);
    server.resume();
    await until(() => direct.takesFrames, 'room');
    client.close();
    expect(direct.takesFrames).toBe(false);
  });
});
