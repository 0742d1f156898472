import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { describe, expect, onTestFinished, test } from 'vitest';
import { chooseSockets } from '../../../net/udp/index.ts';
import type { Datagram } from '../../../proto/quic/index.ts';
import { deriveTunnelKeys } from '../../../proto/quic-lb/index.ts';
import { TunnelEnd } from '../../../proto/spp/index.ts';
import {
  openPublicSocket,
  openTunnelSocket,
  type PacketSocket,
  type TunnelRules,
} from '../../../server/net/index.ts';
import { until } from '../../routing/fakes.ts';

const KEYS = deriveTunnelKeys(new Uint8Array(32).fill(7));
const FORWARDER_END = new TunnelEnd('forwarder', 'require', KEYS);
const RULES: TunnelRules = {
  forwarders: new Set(['127.0.0.1']),
  end: new TunnelEnd('backend', 'require', KEYS),
};
const LOOPBACK = { host: '127.0.0.1', port: 0 };

/** Sends `packet` to the socket and gives the octets that its listener sees. */
async function arriving(socket: PacketSocket, packet: Uint8Array): Promise<Uint8Array> {
  const sender = createSocket('udp4');
  try {
    return await new Promise<Uint8Array>((resolve) => {
      socket.onDatagram(({ data }) => resolve(data));
      sender.send(packet, socket.local.port, socket.local.host);
    });
  } finally {
    sender.close();
    await socket.close();
  }
}

describe('octets of a datagram as the engine gets them', () => {
  const payload = Uint8Array.from([1, 2, 3, 4, 5]);
  const header = { clientHost: '192.0.2.1', clientPort: 1, proxyHost: '127.0.0.1', proxyPort: 2 };

  test.each([
    ['public', () => openPublicSocket(LOOPBACK), payload],
    ['tunnel', () => openTunnelSocket(LOOPBACK, RULES), FORWARDER_END.seal(header, payload)],
  ] as const)(
    '%s port: a slice is a copy, so that a CID that is kept does not keep its datagram',
    async (_, open, packet) => {
      const data = await arriving(await open(), packet);
      expect(data).toEqual(payload);
      const kept = data.slice(1, 3);
      data.fill(0);
      expect(kept).toEqual(Uint8Array.from([2, 3]));
    },
  );
});

describe.each(process.platform === 'linux' ? (['batched', 'dgram'] as const) : (['dgram'] as const))(
  'over %s sockets',
  (kind) => {
    const sockets = chooseSockets(kind);
    const WILDCARD = { host: '0.0.0.0', port: 0 };

    /** A peer at an address, with what came to it. */
    async function peer(host = '127.0.0.1') {
      const socket = createSocket('udp4').bind(0, host);
      onTestFinished(() => void socket.close());
      await once(socket, 'listening');
      const got: { data: Uint8Array; from: string }[] = [];
      socket.on('message', (data, { address, port }) =>
        got.push({ data: new Uint8Array(data), from: `${address}:${port}` }),
      );
      return { socket, got, address: { host, port: socket.address().port } };
    }

    function kept(socket: PacketSocket): { socket: PacketSocket; got: Datagram[] } {
      onTestFinished(() => socket.close());
      const got: Datagram[] = [];
      socket.onDatagram((datagram) => got.push(datagram));
      return { socket, got };
    }

    test('the public port says which address was called, and answers from there, however much in one turn', async () => {
      const { socket, got } = kept(await openPublicSocket(WILDCARD, sockets));
      const { socket: client, got: answers, address } = await peer();
      const { port } = socket.local;
      for (let i = 0; i < 10; i++) client.send(Uint8Array.of(i), port, '127.0.0.1');
      await until(() => got.length === 10, 'ten datagrams');
      const { path } = got[0]!;
      expect(path).toEqual({ local: { host: '127.0.0.1', port }, remote: address });
      expect(socket.owns(path.local)).toBe(true);
      expect(socket.owns({ host: '127.0.0.1', port: port + 1 })).toBe(false);
      // More than wait for one flush, from memory that is used again at once, of which one is larger than the rest.
      const memory = new Uint8Array(3000);
      const sizes = Array.from({ length: 150 }, (_, i) => (i === 70 ? 3000 : 100 + (i % 3)));
      for (const [i, octets] of sizes.entries()) {
        memory.fill(i);
        socket.send({ data: memory.subarray(0, octets), path });
      }
      socket.flush();
      await until(() => answers.length === 150, 'all answers');
      expect(answers.map(({ data }) => data.length)).toEqual(sizes);
      expect(
        answers.every(
          ({ data, from }, i) => data.every((octet) => octet === i) && from === `127.0.0.1:${port}`,
        ),
      ).toBe(true);
      expect(socket.dropped).toEqual({});
    });

    test('the tunnel port gives back the address that the client called at its forwarder', async () => {
      const { socket, got } = kept(await openTunnelSocket(WILDCARD, RULES, sockets));
      const { socket: forwarder, got: answers, address: via } = await peer();
      const header = {
        clientHost: '2001:db8::7',
        clientPort: 50_000,
        proxyHost: '198.51.100.4',
        proxyPort: 4433,
      };
      const payload = Uint8Array.of(9, 8, 7);
      forwarder.send(FORWARDER_END.seal(header, payload), socket.local.port, '127.0.0.1');
      await until(() => got.length === 1, 'the datagram');
      expect(got[0]!.path.remote).toEqual({ host: '2001:db8::7', port: 50_000 });
      expect(got[0]!.via).toMatchObject(via);
      socket.send({ ...got[0]!, data: Uint8Array.of(1, 2) });
      socket.flush();
      await until(() => answers.length === 1, 'the answer');
      expect(FORWARDER_END.open(answers[0]!.data)).toEqual({ header, payload: Uint8Array.of(1, 2) });
      expect(answers[0]!.from).toBe(`127.0.0.1:${socket.local.port}`);
    });

    test('what was called at an address of this machine too is answered from there, the rest through the forwarder', async () => {
      const back = { host: '127.0.0.5', port: (await peer('127.0.0.5')).address.port + 1 };
      const opened = await openTunnelSocket({ host: '127.0.0.1', port: 0 }, RULES, sockets, [back]);
      const { socket, got } = kept(opened);
      const { socket: forwarder, got: returned } = await peer();
      const client = await peer('127.0.0.6');
      const ask = (proxyHost: string, proxyPort: number, payload: number) => {
        const { host: clientHost, port: clientPort } = client.address;
        const header = { clientHost, clientPort, proxyHost, proxyPort };
        forwarder.send(FORWARDER_END.seal(header, Uint8Array.of(payload)), socket.local.port, '127.0.0.1');
      };
      ask(back.host, back.port, 1);
      ask(back.host, back.port + 1, 2);
      ask('127.0.0.4', back.port, 3);
      await until(() => got.length === 3, 'three datagrams');
      for (const datagram of got) socket.send({ ...datagram, data: datagram.data.slice() });
      socket.flush();
      await until(() => client.got.length === 1 && returned.length === 2, 'three answers');
      expect(client.got).toEqual([{ data: Uint8Array.of(1), from: `${back.host}:${back.port}` }]);
      const payloads = returned.map(({ data }) => FORWARDER_END.open(data)?.payload[0]);
      expect(payloads.sort()).toEqual([2, 3]);
      expect(socket.sentPastForwarder).toBe(1);
      // What comes there is none of a forwarder's.
      client.socket.send(Uint8Array.of(9), back.port, back.host);
      await until(() => socket.dropped['past-forwarder'] === 1, 'the one that came past the forwarder');
      expect(got).toHaveLength(3);
    });

    test('the tunnel port counts what it does not take, and a knock is none of it', async () => {
      const refused: string[] = [];
      const rules = { ...RULES, refused: (why: string, host: string) => refused.push(`${why} ${host}`) };
      const { socket, got } = kept(await openTunnelSocket(LOOPBACK, rules, sockets));
      const { socket: forwarder } = await peer();
      const { socket: other } = await peer('127.0.0.9');
      const header = { clientHost: '192.0.2.7', clientPort: 1, proxyHost: '192.0.2.1', proxyPort: 2 };
      const send = (from: Socket, data: Uint8Array) => from.send(data, socket.local.port, '127.0.0.1');
      send(other, FORWARDER_END.seal(header, Uint8Array.of(1)));
      send(forwarder, Uint8Array.of(1, 2, 3));
      send(forwarder, new TunnelEnd('forwarder', 'off', KEYS).seal(header, new Uint8Array(50)));
      send(forwarder, FORWARDER_END.seal(header, new Uint8Array()));
      send(forwarder, FORWARDER_END.seal(header, Uint8Array.of(2)));
      await until(() => got.length === 1, 'the one that is taken');
      await until(() => socket.dropped['not-a-forwarder'] === 1, 'the one from elsewhere counted');
      expect(got[0]!.data).toEqual(Uint8Array.of(2));
      expect(socket.dropped).toEqual({ 'not-a-forwarder': 1, 'not-spp': 1, 'bad-tag': 1 });
      expect(refused.sort()).toEqual(['bad-tag 127.0.0.1', 'not-a-forwarder 127.0.0.9', 'not-spp 127.0.0.1']);
    });
  },
);
