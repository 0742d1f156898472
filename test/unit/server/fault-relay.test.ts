import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { FaultRelay } from '../../../server/start/relay/fault-relay.ts';
import { UdpRelay } from '../../../server/start/relay/udp-relay.ts';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

async function socket(host: '127.0.0.1' | '::1' = '127.0.0.1'): Promise<Socket> {
  const made = createSocket(host === '::1' ? 'udp6' : 'udp4');
  closing.push(() => made.close());
  made.bind(0, host);
  await once(made, 'listening');
  return made;
}

/** A target that sends every packet back, and notes from where it came. */
async function echo(): Promise<{ port: number; from: number[] }> {
  const target = await socket();
  const from: number[] = [];
  target.on('message', (data, { port, address }) => {
    from.push(port);
    target.send(data, port, address);
  });
  return { port: target.address().port, from };
}

async function roundTrip(client: Socket, port: number, host: string, text: string): Promise<string> {
  client.send(text, port, host);
  const [data] = (await once(client, 'message')) as [Buffer];
  return data.toString();
}

async function openRelay(targetPort: number): Promise<FaultRelay> {
  const relay = await FaultRelay.open(targetPort);
  closing.push(() => relay.close());
  return relay;
}

describe('the relay of npm start', () => {
  it.each(['127.0.0.1', '::1'] as const)(
    'passes packets both ways on %s, and another address after a change',
    async (host) => {
      const target = await echo();
      const relay = await openRelay(target.port);
      const client = await socket(host);
      expect(await roundTrip(client, relay.port, host, 'one')).toBe('one');
      expect(await roundTrip(client, relay.port, host, 'two')).toBe('two');
      expect(new Set(target.from).size).toBe(1);
      relay.changeAddress();
      expect(await roundTrip(client, relay.port, host, 'three')).toBe('three');
      expect(new Set(target.from).size).toBe(2);
    },
  );

  it('loses the share that it is told to, and all while the network is cut', async () => {
    const target = await echo();
    const relay = await openRelay(target.port);
    const client = await socket();
    let came = 0;
    client.on('message', () => {
      came += 1;
    });
    relay.cut();
    for (let i = 0; i < 20; i++) client.send('gone', relay.port, '127.0.0.1');
    const last = await socket();
    while (relay.dropped < 20) await new Promise((resolve) => setTimeout(resolve, 5));
    expect(target.from).toHaveLength(0);
    relay.mend();
    expect(await roundTrip(last, relay.port, '127.0.0.1', 'there')).toBe('there');
    relay.lose(0.5);
    const before = relay.dropped;
    while (came < 20) {
      client.send('half', relay.port, '127.0.0.1');
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    expect(relay.dropped - before).toBeGreaterThan(20);
  });

  it('remembers 256 clients; the one that was silent the longest makes room', async () => {
    const target = await echo();
    const relay = await UdpRelay.open('127.0.0.1', 0, target.port);
    closing.push(() => relay.close());
    const first = await socket();
    expect(await roundTrip(first, relay.port, '127.0.0.1', 'hello')).toBe('hello');
    for (let i = 0; i < 300; i++) {
      const other = createSocket('udp4');
      other.bind(0, '127.0.0.1');
      await once(other, 'listening');
      other.send('x', relay.port, '127.0.0.1');
      await once(other, 'message');
      other.close();
    }
    expect(relay.clients).toBe(256);
    expect(await roundTrip(first, relay.port, '127.0.0.1', 'again')).toBe('again');
  });

  it('holds TCP while the network is cut: connections wait, and none is lost', async () => {
    const server = createServer((incoming) => incoming.pipe(incoming));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    closing.push(() => server.close());
    const relay = await openRelay((server.address() as { port: number }).port);
    const open = connect(relay.port, '127.0.0.1');
    closing.push(() => open.destroy());
    open.write('one');
    expect(String((await once(open, 'data'))[0])).toBe('one');
    relay.cut();
    let heard = '';
    open.on('data', (chunk) => {
      heard += chunk;
    });
    open.write('two');
    const late = connect(relay.port, '127.0.0.1');
    closing.push(() => late.destroy());
    await once(late, 'connect');
    late.write('three');
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(heard).toBe('');
    relay.mend();
    expect(String((await once(late, 'data'))[0])).toBe('three');
    await expect.poll(() => heard).toBe('two');
  });
});
