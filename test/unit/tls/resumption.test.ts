import { describe, expect, it } from 'vitest';
import {
  Alert,
  CipherSuite,
  NamedGroup,
  type SessionTicket,
  TlsClient,
  type TlsClientOptions,
  TlsServer,
  type TlsServerOptions,
} from '../../../proto/tls/index.ts';
import { concat } from '../../../proto/wire/index.ts';
import { NOW_MS } from './certificates.ts';
import {
  alertOf,
  clientOptions,
  expectAgreement,
  type Run,
  run,
  seededRandom,
  serverOptions,
} from './loop.ts';

const secret = new Uint8Array(32).fill(7);
const { TLS_AES_128_GCM_SHA256: AES_128, TLS_AES_256_GCM_SHA384: AES_256 } = CipherSuite;
const CERTIFICATE = 11;
const DAY_MS = 86_400_000;

interface Ends {
  readonly client?: Partial<TlsClientOptions>;
  readonly server?: Partial<TlsServerOptions>;
  readonly key?: 'ecdsa' | 'ed25519';
  /** The server's time of day. */
  readonly at?: number;
}

/** A handshake of a server that gives tickets; what came of it and the ticket. */
function shake({ client = {}, server = {}, key = 'ed25519', at = NOW_MS }: Ends = {}): {
  events: Run;
  ticket: SessionTicket | undefined;
  resumed: boolean;
} {
  let ticket: SessionTicket | undefined;
  const tickets = { secret, nowEpochMs: () => at };
  const events = run(
    new TlsClient(clientOptions({ onTicket: (given) => (ticket = given), nowEpochMs: at, ...client })),
    new TlsServer(serverOptions({ tickets, ...server }, key)),
  );
  expectAgreement(events);
  const ends = [events.client.at(-1)!, events.server.at(-1)!].map(
    (end) => end.type === 'complete' && end.resumed,
  );
  expect(ends[0]).toBe(ends[1]);
  return { events, ticket, resumed: ends[0] === true };
}

const typesOf = ({ server }: Run) =>
  server.flatMap((event) => (event.type === 'send' ? [event.data[0]] : []));

function firstTicket(ends: Ends = {}): SessionTicket {
  const { ticket, resumed } = shake(ends);
  expect(resumed).toBe(false);
  return ticket!;
}

describe('a session is resumed with a ticket (RFC 8446 §2.2)', () => {
  it('without a certificate, with fresh secrets, and with a new ticket for the next time', () => {
    const session = firstTicket();
    const again = shake({ client: { session, random: (length) => new Uint8Array(length).fill(9) } });
    expect(again.resumed).toBe(true);
    expect(typesOf(again.events)).not.toContain(CERTIFICATE);
    expect(again.ticket!.psk).not.toEqual(session.psk);
    expect(shake({ client: { session: again.ticket! } }).resumed).toBe(true);
  });

  it('at another server that shares the secret, with another cipher suite and group: the binder covers both ClientHellos (RFC 8446 §4.2.11.2)', () => {
    const session = firstTicket();
    const server = {
      random: (length: number) => new Uint8Array(length).fill(3),
      cipherSuites: [CipherSuite.TLS_CHACHA20_POLY1305_SHA256],
      groups: [NamedGroup.SECP256R1],
    };
    // X25519 is offered first, so this is a HelloRetryRequest too.
    const again = shake({ client: { session }, server });
    expect(again.resumed).toBe(true);
    expect(typesOf(again.events).filter((type) => type === 2)).toHaveLength(2);
  });

  it.each([
    ['SHA-384', AES_256, [AES_256, AES_128], true],
    ['SHA-256 in SHA-384: a full handshake instead', AES_128, [AES_256], false],
    ['SHA-384 in SHA-256: a full handshake instead', AES_256, [AES_128], false],
  ] as const)('RFC 8446 §4.2.11: a secret goes with its hash only: %s', (_, suite, serverSuites, resumed) => {
    const session = firstTicket({ server: { cipherSuites: [suite] } });
    expect(session.cipherSuite).toBe(suite);
    expect(session.psk).toHaveLength(suite === AES_256 ? 48 : 32);
    for (const groups of [[NamedGroup.X25519], [NamedGroup.SECP256R1]] as const) {
      // Without X25519 there is a HelloRetryRequest, which names the suite before the second offer (RFC 8446 §4.1.4).
      const again = shake({ client: { session }, server: { cipherSuites: serverSuites, groups } });
      expect(again.resumed).toBe(resumed);
      const hellos = again.events.client.flatMap((event) =>
        event.type === 'send' && event.level === 'initial' ? [event.data] : [],
      );
      const offers = (hello: Uint8Array) => Buffer.from(hello).includes(Buffer.from(session.ticket));
      expect(hellos.map(offers)).toEqual(groups[0] === NamedGroup.X25519 ? [true] : [true, resumed]);
    }
  });

  it('only by a client that asks for tickets: others are given none (RFC 8446 §4.2.9)', () => {
    const events = run(
      new TlsClient(clientOptions()),
      new TlsServer(serverOptions({ tickets: { secret, nowEpochMs: () => NOW_MS } })),
    );
    expect(events.server.some((event) => event.type === 'send' && event.level === 'application')).toBe(false);
  });
});

describe('a ticket leads to a full handshake', () => {
  const declined: readonly [string, Ends, Ends?][] = [
    [
      'at a server of another cluster',
      { server: { tickets: { secret: new Uint8Array(32), nowEpochMs: () => NOW_MS } } },
    ],
    ['at a server without tickets', { server: { tickets: undefined } }],
    [
      'for another protocol',
      { client: { alpnProtocols: ['other', 'h3'] }, server: { alpnProtocols: ['other', 'h3'] } },
    ],
    ['for another certificate', { key: 'ecdsa' }],
    ['once its day is over', { at: NOW_MS + DAY_MS + 1000, client: { nowEpochMs: NOW_MS } }],
    ['from the future', { at: NOW_MS - 61_000, client: { nowEpochMs: NOW_MS } }],
    ['under another trust', { client: { trust: { kind: 'any' } } }],
  ];
  it.each(declined)('%s', (_name, ends) => {
    const session = firstTicket();
    const again = shake({ ...ends, client: { session, ...ends.client } });
    expect(again.resumed).toBe(false);
    expect(typesOf(again.events)).toContain(CERTIFICATE);
  });

  it('for another server name, even if the client claims that it was given there', () => {
    const trust = { kind: 'any' } as const;
    const session = firstTicket({ client: { trust } });
    const other = { trust, serverName: 'www.example.test' };
    expect(shake({ client: { ...other, session } }).resumed).toBe(false);
    expect(
      shake({ client: { ...other, session: { ...session, serverName: other.serverName } } }).resumed,
    ).toBe(false);
    expect(shake({ client: { trust, session } }).resumed).toBe(true);
  });

  it('when any octet of it was changed', () => {
    const session = firstTicket();
    for (let at = 0; at < session.ticket.length; at += 5) {
      const ticket = session.ticket.slice();
      ticket[at]! ^= 1;
      expect(shake({ client: { session: { ...session, ticket } } }).resumed).toBe(false);
    }
  });

  it('when it was cut short, or is longer than it was', () => {
    const session = firstTicket();
    const { ticket } = session;
    for (const cut of [1, 2, 35, 36, 37, ticket.length - 1])
      expect(shake({ client: { session: { ...session, ticket: ticket.subarray(0, cut) } } }).resumed).toBe(
        false,
      );
    for (const more of [1, 2000]) {
      const longer = concat([ticket, new Uint8Array(more)]);
      expect(shake({ client: { session: { ...session, ticket: longer } } }).resumed).toBe(false);
    }
  });
});

describe('a ticket itself', () => {
  it('shows nothing of what it holds, and no two are alike (RFC 5077 §4)', () => {
    const session = firstTicket();
    const again = firstTicket({ server: { random: seededRandom('another') } });
    const shown = Buffer.from(session.ticket);
    for (const secretOctets of [Buffer.from('example.test'), Buffer.from(session.psk)])
      expect(shown.indexOf(secretOctets, 20)).toBe(-1);
    const same = session.ticket.filter((octet, i) => i >= 20 && octet === again.ticket[i]);
    expect(same.length).toBeLessThan(20);
  });
});

describe('ticket keys change with time', () => {
  it('and that of the period before still opens: a ticket is good for all of its life', () => {
    // Made just before midnight UTC, when the key of a lifetime of a day changes.
    const at = Math.ceil(NOW_MS / DAY_MS) * DAY_MS - 1000;
    const session = firstTicket({ at });
    expect(shake({ at: at + 2000, client: { session } }).resumed).toBe(true);
    expect(shake({ at: at + DAY_MS - 2000, client: { session } }).resumed).toBe(true);
    const late = { session: { ...session, expiresAtEpochMs: Number.POSITIVE_INFINITY } };
    expect(shake({ at: at + 2 * DAY_MS, client: late }).resumed).toBe(false);
  });

  it('and a backend whose clock is a little behind still takes what another one gave', () => {
    const at = Math.ceil(NOW_MS / DAY_MS) * DAY_MS;
    // Just after the change of the key, by the clock of the first; just before it, by that of the second.
    const session = firstTicket({ at: at + 500 });
    expect(shake({ at: at - 30_000, client: { session } }).resumed).toBe(true);
    expect(shake({ at: at - 90_000, client: { session } }).resumed).toBe(false);
  });

  it('and resumptions do not go on without end: a week after the certificate was shown it is shown again (RFC 8446 §4.6.1)', () => {
    const forgetful = (ticket: SessionTicket) => ({ ...ticket, expiresAtEpochMs: Number.POSITIVE_INFINITY });
    let session = forgetful(firstTicket());
    const step = DAY_MS - 60_000;
    for (let i = 1; i <= 7; i++) {
      const next = shake({ at: NOW_MS + i * step, client: { session, nowEpochMs: NOW_MS } });
      expect(next.resumed).toBe(true);
      session = forgetful(next.ticket!);
    }
    expect(shake({ at: NOW_MS + 8 * step, client: { session, nowEpochMs: NOW_MS } }).resumed).toBe(false);
  });

  it('and the ticket of a resumed session is good for as long as one of a full handshake', () => {
    const session = firstTicket();
    const at = NOW_MS + DAY_MS / 2;
    const { ticket, resumed } = shake({ at, client: { session } });
    expect(resumed).toBe(true);
    expect(ticket?.expiresAtEpochMs).toBe(at + DAY_MS);
    expect(ticket?.certificateEndsAtEpochMs).toBe(session.certificateEndsAtEpochMs);
  });

  it('and no ticket outlives its certificate or a week, whatever is configured', () => {
    const tickets = { secret, nowEpochMs: () => NOW_MS, lifetimeSeconds: 10 ** 9 };
    const session = firstTicket({ server: { tickets } });
    expect(session.expiresAtEpochMs).toBeLessThanOrEqual(NOW_MS + 7 * DAY_MS);
  });
});

describe('a server refuses', () => {
  const hello = (change: (data: Uint8Array) => void): (() => void) => {
    const session = firstTicket();
    const client = new TlsClient(clientOptions({ session }));
    const server = new TlsServer(serverOptions({ tickets: { secret, nowEpochMs: () => NOW_MS } }));
    const first = client.poll();
    if (first?.type !== 'send') throw new Error('no ClientHello');
    const data = first.data.slice();
    change(data);
    return () => server.receive('initial', data);
  };

  it('a binder that does not match (RFC 8446 §4.2.11)', () => {
    expect(alertOf(hello((data) => (data[data.length - 1]! ^= 1))).alert).toBe(Alert.DECRYPT_ERROR);
  });

  it('a ClientHello that was changed under its binder', () => {
    // The random, which nothing else checks at this point.
    expect(alertOf(hello((data) => (data[10]! ^= 1))).alert).toBe(Alert.DECRYPT_ERROR);
  });

  it('more identities than binders', () => {
    const refusal = alertOf(
      hello((data) => {
        // The binder of 32 octets becomes the list's length of 0 and something after it.
        data[data.length - 34] = 0;
      }),
    );
    expect(refusal.alert).toBe(Alert.DECODE_ERROR);
  });
});

describe('a client refuses', () => {
  it('a PSK that it did not offer (RFC 8446 §4.2.11)', () => {
    const session = firstTicket();
    const client = new TlsClient(clientOptions({ session }));
    const server = new TlsServer(serverOptions({ tickets: { secret, nowEpochMs: () => NOW_MS } }));
    const meddle = (from: string, _level: string, data: Uint8Array): Uint8Array[] => {
      if (from !== 'server' || data[0] !== 2) return [data];
      const changed = data.slice();
      // selected_identity is the last field of this ServerHello.
      changed[changed.length - 1] = 1;
      return [changed];
    };
    expect(alertOf(() => run(client, server, meddle)).alert).toBe(Alert.ILLEGAL_PARAMETER);
  });
});
