import { randomBytes } from 'node:crypto';
import { type Datagram, type Path, QuicEndpoint } from '../proto/quic/index.ts';
import type { TlsCertificate } from '../proto/tls/index.ts';

/** The first handshake of a process costs ten times a later one: its code is not compiled yet. Five are enough. */
const HANDSHAKES = 5;
/** Datagrams exchanged in one handshake, at most: a bound, far above what it takes. */
const MAX_STEPS = 100;

const random = (length: number) => new Uint8Array(randomBytes(length));
const connectionIdGenerator = { length: 8, generate: () => random(8) };
const CLIENT: Path = { local: { host: '127.0.0.1', port: 1 }, remote: { host: '127.0.0.1', port: 2 } };
const SERVER: Path = { local: CLIENT.remote, remote: CLIENT.local };

/** Runs one handshake in memory and returns whether it completed. */
export function handshakeSucceeds(certificate: TlsCertificate, nowMs = 0): boolean {
  const server = new QuicEndpoint({
    random,
    connectionIdGenerator,
    server: { tls: { certificates: [certificate], alpnProtocols: ['h3'] } },
  });
  const client = new QuicEndpoint({ random, connectionIdGenerator });
  client.connect(
    {
      remote: CLIENT.remote,
      local: CLIENT.local,
      serverName: 'localhost',
      alpnProtocols: ['h3'],
      trust: { kind: 'any' },
    },
    nowMs,
  );
  const carry = (from: QuicEndpoint, to: QuicEndpoint, path: Path) => {
    let datagram: Datagram | undefined;
    for (let i = 0; i < MAX_STEPS; i++) {
      datagram = from.transmit(nowMs);
      if (datagram === undefined) return;
      to.receive({ data: datagram.data, path }, nowMs);
    }
  };
  for (let step = 0; step < MAX_STEPS; step++) {
    carry(client, server, SERVER);
    while (server.poll());
    carry(server, client, CLIENT);
    for (let item = client.poll(); item; item = client.poll()) {
      if (item.type === 'event' && item.event.type === 'handshakeConfirmed') return true;
    }
  }
  return false;
}

/**
 * Runs handshakes in memory, with the backend's own certificate, so that the first caller does not wait for the JavaScript compiler.
 * Takes some 100 ms. Returns whether they all completed: if not, the certificate would fail callers too.
 */
export function warmUp(certificate: TlsCertificate): boolean {
  for (let i = 0; i < HANDSHAKES; i++) if (!handshakeSucceeds(certificate, i * 1000)) return false;
  return true;
}
