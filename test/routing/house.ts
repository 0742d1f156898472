import { randomBytes } from 'node:crypto';
import pino from 'pino';
import { afterEach } from 'vitest';
import { type Forwarder, type StartOptions, startForwarder } from '../../lb/index.ts';
import type { ClusterConfig } from '../../proto/quic-lb/index.ts';
import { freePort } from '../support/free-port.ts';
import { longPacket, threeAlgorithms } from './cluster.ts';
import { FakeBackend, FakeClient } from './fakes.ts';

/**
 * The kinds of socket that every routing test runs over. On Linux both must work: `socket: 'batched'` refuses to start
 * where the system calls cannot be had, so that a missing koffi fails the tests and is not passed over.
 */
export const SOCKETS = process.platform === 'linux' ? (['batched', 'dgram'] as const) : (['dgram'] as const);
export type Socket = (typeof SOCKETS)[number];

export const QUICK = { intervalMs: 20, silentAfter: 3, deadAfter: 10 };
export const logger = pino({ level: 'silent' });
export const octets = (length: number) => new Uint8Array(randomBytes(length));
export const initial = () => longPacket(octets(8));
export const total = (all: readonly FakeBackend[]) =>
  all.reduce((sum, { received }) => sum + received.length, 0);

const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing.close();
});

/** Closes `thing` after the test. */
export function kept<Thing extends { close(): unknown }>(thing: Thing): Thing {
  open.push(thing);
  return thing;
}

/** Closes it now, and not after the test. */
export async function closeNow(thing: { close(): unknown }): Promise<void> {
  open.splice(open.indexOf(thing), 1);
  await thing.close();
}

export async function backends(count: number, host?: string): Promise<FakeBackend[]> {
  const made: FakeBackend[] = [];
  for (let i = 0; i < count; i++) made.push(kept(await FakeBackend.open(host)));
  return made;
}

export async function forwarder(
  socket: Socket,
  cluster: ClusterConfig,
  options: Partial<StartOptions> = {},
): Promise<Forwarder> {
  const listen = `127.0.0.1:${await freePort()}`;
  return kept(await startForwarder({ cluster, listen, probe: QUICK, logger, socket, ...options }));
}

/** A forwarder with backends and a client. */
export interface House {
  readonly backends: FakeBackend[];
  readonly cluster: ClusterConfig;
  readonly forwarder: Forwarder;
  readonly at: { readonly host: string; readonly port: number };
  readonly client: FakeClient;
}

export async function house(socket: Socket, count = 3, options: Partial<StartOptions> = {}): Promise<House> {
  const made = await backends(count);
  const cluster = threeAlgorithms(made.map(({ tunnel }) => tunnel));
  const running = await forwarder(socket, cluster, options);
  const client = kept(await FakeClient.open());
  return { backends: made, cluster, forwarder: running, at: running.listening[0]!, client };
}
