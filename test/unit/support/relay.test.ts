import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { afterEach, describe, expect, test } from 'vitest';
import { createRelay, type Relay } from '../../support/relay.ts';

const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close();
});

async function socket(): Promise<Socket> {
  const made = createSocket('udp4');
  made.bind(0, '127.0.0.1');
  await once(made, 'listening');
  open.push(made);
  return made;
}

/** Answers every packet with itself, and remembers the ports that packets came from. */
async function echo(): Promise<{ port: number; sources: number[] }> {
  const server = await socket();
  const sources: number[] = [];
  server.on('message', (data, from) => {
    sources.push(from.port);
    server.send(data, from.port, from.address);
  });
  return { port: server.address().port, sources };
}

async function relayTo(port: number, options: object = {}): Promise<Relay> {
  const relay = await createRelay({ target: { port }, ...options });
  open.push(relay);
  return relay;
}

async function exchange(client: Socket, relay: Relay, text: string): Promise<string> {
  const answer = once(client, 'message');
  client.send(text, relay.port, '127.0.0.1');
  return String((await answer)[0]);
}

describe('the relay', () => {
  test('carries many clients both ways, each from a port of its own', async () => {
    const server = await echo();
    const relay = await relayTo(server.port, { delayMs: 2 });
    const clients = await Promise.all([1, 2, 3].map(() => socket()));
    const answers = await Promise.all(clients.map((client, i) => exchange(client, relay, `hello ${i}`)));
    expect(answers).toEqual(['hello 0', 'hello 1', 'hello 2']);
    expect(new Set(server.sources).size).toBe(3);
    expect(relay.stats.clients).toBe(3);
    expect(relay.stats.toTarget.forwarded).toBe(3);
    expect(relay.stats.toClient.forwarded).toBe(3);
  });

  test('a rebinding changes the source port and both directions go on', async () => {
    const server = await echo();
    const relay = await relayTo(server.port);
    const client = await socket();
    await exchange(client, relay, 'one');
    await relay.rebind();
    expect(await exchange(client, relay, 'two')).toBe('two');
    expect(server.sources[1]).not.toBe(server.sources[0]);
    expect(relay.stats.rebinds).toBe(1);
  });

  test('the same seed loses the same packets, and the loss can be switched off', async () => {
    const survivors: string[][] = [];
    for (const seed of [7, 7, 8]) {
      const server = await echo();
      const relay = await relayTo(server.port, { lossRate: 0.5, seed });
      const client = await socket();
      const got: string[] = [];
      client.on('message', (data) => got.push(String(data)));
      for (let i = 0; i < 40; i++) {
        client.send(String(i), relay.port, '127.0.0.1');
        // One at a time: the draws of the two directions then come in the same order.
        while (relay.stats.toTarget.received <= i) await new Promise(setImmediate);
        while (relay.stats.toClient.received < relay.stats.toTarget.forwarded)
          await new Promise(setImmediate);
      }
      relay.setLoss(0);
      await new Promise((resolve) => {
        client.on('message', (data) => String(data) === 'end' && resolve(undefined));
        client.send('end', relay.port, '127.0.0.1');
      });
      survivors.push(got);
      expect(relay.stats.toTarget.lost + relay.stats.toTarget.forwarded).toBe(41);
      expect(relay.stats.toTarget.lost).toBeGreaterThan(5);
    }
    expect(survivors[0]).toEqual(survivors[1]);
    expect(survivors[2]).not.toEqual(survivors[0]);
  });

  test('duplicates, drops what is larger than its MTU, and counts both', async () => {
    const server = await echo();
    const relay = await relayTo(server.port, { duplicate: 1, mtu: 100 });
    const client = await socket();
    client.send(new Uint8Array(101), relay.port, '127.0.0.1');
    await exchange(client, relay, 'twice');
    while (server.sources.length < 2) await new Promise(setImmediate);
    expect(relay.stats.toTarget.tooLarge).toBe(1);
    expect(relay.stats.toTarget.duplicated).toBe(1);
  });
});
