import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, describe, expect, it } from 'vitest';
import { type Netpath, openNetpath, type PathOptions } from '../support/netpath/index.ts';

const PORT = 7000;
const PACKETS = 400;

let path: Netpath;
let echo: Socket;
let server: Server;
let client: Socket;
afterEach(async () => {
  client.close();
  echo.close();
  server.close();
  await path.close();
});

/** A path with an echo behind it, over UDP and over TCP, and a client's UDP socket before it. */
async function open(options: PathOptions): Promise<void> {
  path = await openNetpath(options);
  await path.right.within(async () => {
    echo = createSocket('udp4', (data, from) => echo.send(data, from.port, from.address));
    echo.bind(PORT);
    await once(echo, 'listening');
    server = createServer((socket) => socket.pipe(socket)).listen(PORT);
    await once(server, 'listening');
  });
  await path.left.within(async () => {
    client = createSocket('udp4');
    client.bind(0);
    await once(client, 'listening');
  });
}

/** How long the answer took, in ms. */
async function roundTrip(): Promise<number> {
  const begin = performance.now();
  client.send('x', PORT, path.right.address);
  await once(client, 'message');
  return performance.now() - begin;
}

/** Sends numbered packets and gives the numbers of those that come back, in their order. */
async function flood(): Promise<number[]> {
  const back: number[] = [];
  client.on('message', (data) => back.push(data.readUInt32BE()));
  for (let i = 0; i < PACKETS; i++) {
    const data = Buffer.alloc(200);
    data.writeUInt32BE(i);
    client.send(data, PORT, path.right.address);
    if (i % 20 === 19) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await new Promise((resolve) => setTimeout(resolve, 500));
  return back;
}

describe('the network path of the tests', () => {
  it('delays UDP and TCP alike, as it is told, and is gone when it is closed', async () => {
    await open({ delayMs: 30 });
    expect(await roundTrip()).toBeGreaterThanOrEqual(60);
    const begin = performance.now();
    const socket = await path.left.within(async () => {
      const connecting = connect(PORT, path.right.address);
      await once(connecting, 'connect');
      return connecting;
    });
    expect(performance.now() - begin).toBeGreaterThanOrEqual(60);
    socket.write('hello');
    expect(String((await once(socket, 'data'))[0])).toBe('hello');
    expect(performance.now() - begin).toBeGreaterThanOrEqual(120);
    socket.destroy();
    await path.set({ delayMs: 0 });
    expect(await roundTrip()).toBeLessThan(60);
    const { namespace } = path.left;
    expect(existsSync(`/run/netns/${namespace}`)).toBe(true);
    await path.close();
    expect(existsSync(`/run/netns/${namespace}`)).toBe(false);
  });

  it('loses the share that it is told, in bursts where it is told so', async () => {
    await open({ lossRate: 0.2, burst: 8 });
    const back = await flood();
    const { toRight } = await path.stats();
    expect(toRight.packets).toBe(PACKETS);
    expect(toRight.lost / PACKETS).toBeGreaterThan(0.08);
    expect(toRight.lost / PACKETS).toBeLessThan(0.4);
    const gaps = back.slice(1).map((number, i) => number - back[i]! - 1);
    const bursts = gaps.filter((gap) => gap > 0);
    expect(bursts.length).toBeGreaterThan(2);
    expect(Math.min(...bursts)).toBeGreaterThanOrEqual(8);
  });

  it('carries no more than its rate, and loses what would wait too long', async () => {
    await open({ rateKbit: 400, queueMs: 100 });
    const begin = performance.now();
    await flood();
    const seconds = (performance.now() - begin) / 1000;
    const { toRight } = await path.stats();
    expect(toRight.lost).toBeGreaterThan(PACKETS / 4);
    const carriedKbit = ((toRight.packets - toRight.lost) * 228 * 8) / 1000;
    expect(carriedKbit).toBeLessThan(400 * (seconds + 0.1));
  });

  it('lets nothing through for the time of an outage', async () => {
    await open({});
    await roundTrip();
    await path.outage(600);
    const begin = performance.now();
    const timer = setInterval(() => client.send('y', PORT, path.right.address), 20);
    await once(client, 'message');
    clearInterval(timer);
    expect(performance.now() - begin).toBeGreaterThanOrEqual(590);
  });

  it('has a host whose address is replaced, and programs of its own', async () => {
    await open({});
    let before = '';
    for (const newFirst of [true, false]) {
      before = path.left.address;
      await path.left.replaceAddress({ newFirst, gapMs: 10 });
      expect(path.left.address).not.toBe(before);
      const seen = once(echo, 'message');
      await roundTrip();
      expect(((await seen)[1] as { address: string }).address).toBe(path.left.address);
    }
    const program = path.left.spawn('ip', ['-4', '-brief', 'addr', 'show', 'path0'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const said = await text(program.stdout!);
    expect(said).toContain(`${path.left.address}/32`);
    expect(said).not.toContain(before);
  });
});
