import { createHash } from 'node:crypto';
import { expect } from 'vitest';
import {
  type CryptoLevel,
  TlsAlertError,
  type TlsCertificate,
  TlsClient,
  type TlsClientOptions,
  type TlsEvent,
  TlsServer,
  type TlsServerOptions,
  type TlsSession,
} from '../../../proto/tls/index.ts';
import { type KeyName, keys, leafChain, NOW_MS, rootCertificate } from './certificates.ts';

export const CLIENT_PARAMETERS = Uint8Array.of(1, 2, 3);
export const SERVER_PARAMETERS = Uint8Array.of(4, 5, 6, 7);

/** Octets that depend on `seed` and on how many were asked for before: the same run gives the same octets. */
export function seededRandom(seed: string): (length: number) => Uint8Array {
  let counter = 0;
  return (length) => {
    const hash = createHash('shake256', { outputLength: length });
    return new Uint8Array(hash.update(`${seed}/${counter++}`).digest());
  };
}

export function clientOptions(options: Partial<TlsClientOptions> = {}): TlsClientOptions {
  return {
    random: seededRandom('client'),
    serverName: 'example.test',
    alpnProtocols: ['h3'],
    transportParameters: CLIENT_PARAMETERS,
    nowEpochMs: NOW_MS,
    trust: { kind: 'ca', certificates: [rootCertificate] },
    ...options,
  };
}

const identity = (name: KeyName): TlsCertificate => ({ chain: leafChain(name), privateKey: keys[name] });

// Made once, for ECDSA signatures differ each time: a run with the same options gives the same octets.
const identities: Readonly<Record<KeyName, TlsCertificate>> = {
  ecdsa: identity('ecdsa'),
  rsa: identity('rsa'),
  ed25519: identity('ed25519'),
};

export function serverOptions(
  options: Partial<TlsServerOptions> = {},
  keyName: KeyName = 'ed25519',
): TlsServerOptions {
  return {
    random: seededRandom('server'),
    certificates: [identities[keyName]],
    alpnProtocols: ['h3'],
    transportParameters: SERVER_PARAMETERS,
    ...options,
  };
}

/** A `send` event on its way; return another message, several, or none to play the attacker. */
export type Meddle = (
  from: 'client' | 'server',
  level: CryptoLevel,
  data: Uint8Array,
) => readonly Uint8Array[];

export interface Run {
  readonly client: TlsEvent[];
  readonly server: TlsEvent[];
}

export const untouched: Meddle = (_from, _level, data) => [data];

/** Runs both ends until neither has anything to say. */
export function run(
  client: TlsSession,
  server: TlsSession,
  meddle: Meddle = untouched,
  chunk = Infinity,
): Run {
  const events: Run = { client: [], server: [] };
  const deliver = (from: 'client' | 'server', event: TlsEvent): void => {
    events[from].push(event);
    if (event.type !== 'send') return;
    const to = from === 'client' ? server : client;
    for (const data of meddle(from, event.level, event.data)) {
      for (let at = 0; at < data.length; at += chunk) {
        to.receive(event.level, data.subarray(at, Math.min(data.length, at + chunk)));
      }
    }
  };
  for (let moved = true; moved; ) {
    moved = false;
    for (const from of ['client', 'server'] as const) {
      const session = from === 'client' ? client : server;
      for (let event = session.poll(); event !== undefined; event = session.poll()) {
        deliver(from, event);
        moved = true;
      }
    }
  }
  return events;
}

export function handshake(
  client: Partial<TlsClientOptions> = {},
  server: Partial<TlsServerOptions> = {},
): Run {
  return run(new TlsClient(clientOptions(client)), new TlsServer(serverOptions(server)));
}

/** Both ends completed and hold the same secrets. */
export function expectAgreement({ client, server }: Run): void {
  const secrets = (events: TlsEvent[]) => events.filter((event) => event.type === 'secrets');
  expect(secrets(client).map((event) => event.level)).toEqual(['handshake', 'application']);
  expect(secrets(client)).toEqual(secrets(server));
  expect(client.at(-1)?.type).toBe('complete');
  expect(server.at(-1)?.type).toBe('complete');
}

/** The alert and the transport error code that `action` throws. */
export function alertOf(action: () => unknown): { alert: number; code: number } {
  try {
    action();
  } catch (error) {
    if (error instanceof TlsAlertError) return { alert: error.alert, code: error.transportErrorCode };
    throw error;
  }
  throw new Error('no alert was raised');
}
