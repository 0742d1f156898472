import { describe, expect, test } from 'vitest';
import { CipherSuite, NamedGroup, TlsClient, type TlsEvent, TlsServer } from '../../../proto/tls/index.ts';
import { toHex } from '../../../proto/wire/index.ts';
import { type KeyName, keys, leafChain, makeCertificate, NOW_MS } from './certificates.ts';
import {
  CLIENT_PARAMETERS,
  clientOptions,
  expectAgreement,
  handshake,
  run,
  SERVER_PARAMETERS,
  serverOptions,
  untouched,
} from './loop.ts';

const suites = Object.entries(CipherSuite);
const groups = Object.entries(NamedGroup);
const keyNames: KeyName[] = ['ecdsa', 'rsa', 'ed25519'];

const sends = (events: readonly TlsEvent[]) => events.filter((event) => event.type === 'send');

describe('a handshake completes with equal secrets on both ends, in every group and for every kind of key (RFC 8446 §2, §4.2.7)', () => {
  for (const [suiteName, suite] of suites) {
    for (const [groupName, group] of groups) {
      for (const keyName of keyNames) {
        for (const retry of [false, true]) {
          test(`${suiteName}, ${groupName}, ${keyName}${retry ? ', HelloRetryRequest' : ''}`, () => {
            const client = new TlsClient(
              clientOptions({
                cipherSuites: [suite],
                groups: [group, ...Object.values(NamedGroup).filter((other) => other !== group)],
                keyShareGroups: retry ? [] : [group],
              }),
            );
            const server = new TlsServer(serverOptions({ groups: [group] }, keyName));
            const events = run(client, server);
            expectAgreement(events);
            expect(sends(events.client).filter((event) => event.level === 'initial')).toHaveLength(
              retry ? 2 : 1,
            );
            const secrets = events.server.find((event) => event.type === 'secrets');
            expect(secrets?.cipherSuite).toBe(suite);
          });
        }
      }
    }
  }

  test('octet by octet', () => {
    const options = clientOptions({ keyShareGroups: [NamedGroup.SECP256R1] });
    const server = new TlsServer(serverOptions({ groups: [NamedGroup.X25519] }));
    expectAgreement(run(new TlsClient(options), server, untouched, 1));
  });
});

describe('what a handshake gives', () => {
  test('events come in the order that QUIC needs (RFC 9001 §4.1.3)', () => {
    const { client, server } = handshake();
    const names = (events: TlsEvent[]) =>
      events.map((event) => ('level' in event ? `${event.type}:${event.level}` : event.type));
    expect(names(server)).toEqual([
      'send:initial',
      'secrets:handshake',
      'transportParameters',
      'send:handshake',
      'send:handshake',
      'send:handshake',
      'send:handshake',
      'secrets:application',
      'complete',
    ]);
    expect(names(client)).toEqual([
      'send:initial',
      'secrets:handshake',
      'transportParameters',
      'secrets:application',
      'send:handshake',
      'complete',
    ]);
  });

  test('it is complete when an end has sent its Finished and checked the other (RFC 9001 §4.1.1)', () => {
    const client = new TlsClient(clientOptions());
    const server = new TlsServer(serverOptions());
    // Held back: without the client's Finished, the server has all keys but is not complete.
    const finished: Uint8Array[] = [];
    const events = run(client, server, (from, level, data) => {
      if (from === 'server' || level === 'initial') return [data];
      finished.push(data);
      return [];
    });
    expect(events.client.at(-1)?.type).toBe('complete');
    expect(events.server.some((event) => event.type === 'complete')).toBe(false);
    for (const data of finished) server.receive('handshake', data);
    expect(server.poll()?.type).toBe('complete');
  });

  test('each message goes at the level of its keys (RFC 9001 §4.1.4)', () => {
    const tickets = { secret: new Uint8Array(32), nowEpochMs: () => NOW_MS };
    const { client, server } = handshake({ onTicket: () => {} }, { tickets });
    const levels = (events: TlsEvent[]) => sends(events).map(({ level, data }) => `${level} ${data[0]}`);
    expect(levels(client)).toEqual(['initial 1', 'handshake 20']);
    expect(levels(server)).toEqual([
      'initial 2',
      ...[8, 11, 15, 20].map((type) => `handshake ${type}`),
      'application 4',
    ]);
  });

  test('each end learns the transport parameters of the other (RFC 9001 §8.2)', () => {
    const { client, server } = handshake();
    const parameters = (events: TlsEvent[]) =>
      events.find((event) => event.type === 'transportParameters')?.data;
    expect(parameters(client)).toEqual(SERVER_PARAMETERS);
    expect(parameters(server)).toEqual(CLIENT_PARAMETERS);
  });

  test('the server chooses its most preferred common protocol, and learns the name (RFC 7301 §3.2)', () => {
    const { client, server } = handshake(
      { alpnProtocols: ['a', 'h3', 'b'] },
      { alpnProtocols: ['x', 'b', 'h3'] },
    );
    const complete = { type: 'complete', alpn: 'b', serverName: 'example.test', resumed: false };
    expect(client.at(-1)).toEqual(complete);
    expect(server.at(-1)).toEqual(complete);
  });

  test('an IP address is not sent as a server name (RFC 6066 §3)', () => {
    const chain = leafChain('ed25519', { dnsNames: [], ipAddresses: [[127, 0, 0, 1]] });
    const certificates = [{ chain, privateKey: keys.ed25519 }];
    const { server } = handshake({ serverName: '127.0.0.1' }, { certificates });
    expect(server.at(-1)).toEqual({ type: 'complete', alpn: 'h3', serverName: undefined, resumed: false });
  });

  test('the certificate is chosen by server name', () => {
    const other = makeCertificate({ subject: 'other', key: keys.ecdsa, dnsNames: ['other.test'] });
    const certificates = [
      { chain: [other], privateKey: keys.ecdsa },
      { chain: leafChain('ed25519'), privateKey: keys.ed25519 },
    ];
    expectAgreement(handshake({}, { certificates }));
    expectAgreement(
      handshake({ serverName: 'other.test', trust: { kind: 'ca', certificates: [other] } }, { certificates }),
    );
  });

  test('the same random source gives the same octets with Ed25519 certificates', () => {
    const transcript = () => {
      const { client, server } = handshake();
      return [...sends(client), ...sends(server)].map((event) => toHex(event.data));
    };
    expect(transcript()).toEqual(transcript());
  });

  test('both ends log the same secrets in SSLKEYLOGFILE form', () => {
    const lines: { client: string[]; server: string[] } = { client: [], server: [] };
    handshake({ keyLog: (line) => lines.client.push(line) }, { keyLog: (line) => lines.server.push(line) });
    expect(lines.client).toEqual(lines.server);
    expect(lines.client.map((line) => line.split(' ')[0])).toEqual([
      'CLIENT_HANDSHAKE_TRAFFIC_SECRET',
      'SERVER_HANDSHAKE_TRAFFIC_SECRET',
      'CLIENT_TRAFFIC_SECRET_0',
      'SERVER_TRAFFIC_SECRET_0',
      'EXPORTER_SECRET',
    ]);
    for (const line of lines.client) expect(line).toMatch(/^[A-Z_0-9]+ [0-9a-f]{64} [0-9a-f]{64}$/);
  });
});
