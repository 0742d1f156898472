import { randomBytes } from 'node:crypto';
import { choosePacketCiphers } from '../../net/ciphers/index.ts';
import { type EndpointEvent, type QuicConnection, QuicEndpoint } from '../../proto/quic/index.ts';
import { EndpointDriver, openPublicSocket } from '../../server/net/index.ts';
import { testCertificate } from '../support/quic-fixtures.ts';
import { answerParent, Meter } from './child.ts';

/** One end of the bulk benchmark: serves or downloads one stream over a real loopback socket. */

const ALPN = 'parley-bench';
const CHUNK_OCTETS = 65_536;
/** Octets that the server keeps written ahead of what it could send. */
const AHEAD_OCTETS = 512 * 1024;
const chunk = new Uint8Array(randomBytes(CHUNK_OCTETS));
const random = (length: number) => new Uint8Array(randomBytes(length));
const loopback = { host: '127.0.0.1', port: 0 };

function makeEndpoint(server: boolean): QuicEndpoint {
  return new QuicEndpoint({
    ciphers: choosePacketCiphers().ciphers,
    random,
    connectionIdGenerator: { length: 8, generate: () => random(8) },
    wallClockEpochMs: Date.now(),
    ...(server && { server: { tls: { certificates: [testCertificate], alpnProtocols: [ALPN] } } }),
  });
}

/** Serves `GET n`: n octets on the stream that asked. */
class BulkServer {
  #driver!: EndpointDriver;
  #connection: QuicConnection | undefined;
  #left = 0;

  async start(): Promise<number> {
    const socket = await openPublicSocket(loopback);
    this.#driver = new EndpointDriver(makeEndpoint(true), [socket], (item) => this.#handle(item));
    return socket.local.port;
  }

  stats() {
    return this.#connection?.stats();
  }

  #handle(item: EndpointEvent): void {
    const { connection } = item;
    if (item.type === 'incoming') {
      this.#connection = connection;
      return;
    }
    const { event } = item;
    if (event.type === 'streamReadable') {
      const read = connection.readStream(event.streamId);
      if (read === undefined || read.data.length === 0) return;
      this.#left = Number(new TextDecoder().decode(read.data));
      this.#fill(connection, event.streamId);
    } else if (event.type === 'streamWritable') this.#fill(connection, event.streamId);
  }

  #fill(connection: QuicConnection, streamId: number): void {
    while (this.#left > 0 && connection.streamBufferedOctets(streamId) < AHEAD_OCTETS) {
      const octets = Math.min(this.#left, CHUNK_OCTETS);
      this.#left -= octets;
      connection.writeStream(streamId, chunk.subarray(0, octets), this.#left === 0);
    }
    this.#driver.wake();
  }
}

/** Downloads n octets on one stream; fulfils with its figures. */
async function download(port: number, octets: number, profile: boolean) {
  const socket = await openPublicSocket(loopback);
  const endpoint = makeEndpoint(false);
  let received = 0;
  let done = () => {};
  const finished = new Promise<void>((resolve) => {
    done = resolve;
  });
  const driver = new EndpointDriver(endpoint, [socket], (item) => {
    if (item.type !== 'event') return;
    const { connection, event } = item;
    if (event.type === 'connected') {
      const id = connection.openStream('bidirectional')!;
      connection.writeStream(id, new TextEncoder().encode(String(octets)), true);
    } else if (event.type === 'streamReadable') {
      for (;;) {
        const read = connection.readStream(event.streamId);
        if (read === undefined) break;
        received += read.data.length;
        if (read.fin) done();
      }
    }
  });
  const meter = await Meter.start(profile);
  const connection = endpoint.connect(
    {
      remote: { host: loopback.host, port },
      local: socket.local,
      serverName: 'localhost',
      alpnProtocols: [ALPN],
      trust: { kind: 'any' },
    },
    driver.now(),
  );
  driver.wake();
  await finished;
  const measured = await meter.stop();
  const stats = connection.stats();
  connection.close(0, '');
  await driver.close();
  if (received !== octets) throw new Error(`${received} octets came instead of ${octets}`);
  return { ...measured, stats };
}

const server = new BulkServer();
let meter: Meter | undefined;

answerParent(async (request) => {
  switch (request.op) {
    case 'serve':
      return server.start();
    case 'meter':
      meter = await Meter.start(request.profile === true);
      return undefined;
    case 'measured':
      return { ...(await meter!.stop()), stats: server.stats() };
    case 'download':
      return download(Number(request.port), Number(request.octets), request.profile === true);
    default:
      throw new Error(`unknown request ${request.op}`);
  }
});
