import { resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseForwarderConfig, readClusterFile, readSettings } from '../../../lb/config.ts';
import { explainPacket } from '../../../lb/dry-run.ts';
import { issue, longPacket, shortPacket, threeAlgorithms } from '../../routing/cluster.ts';

describe('a forwarder’s settings', () => {
  test('have defaults for all', () => {
    const result = parseForwarderConfig({});
    expect(result).toEqual({
      ok: true,
      value: {
        cluster: 'cluster.json',
        listen: [{ host: '0.0.0.0', port: 4433 }],
        socket: 'auto',
        tcp: { maxConnections: 10_000, connectionsPerAddress: 512, idleSeconds: 300 },
        probe: { intervalMs: 500, silentAfter: 3, deadAfter: 50 },
        logLevel: 'info',
        statsIntervalMs: 10_000,
      },
    });
  });

  test('take one listening address or a list of them', () => {
    const result = parseForwarderConfig({ listen: ['0.0.0.0:4433', '[::]:4433'], metrics: '127.0.0.1:9091' });
    expect(result.ok && result.value.listen).toEqual([
      { host: '0.0.0.0', port: 4433 },
      { host: '::', port: 4433 },
    ]);
    // Several of one family, and one port on several.
    const several = [
      '192.0.2.1:4433',
      '192.0.2.2:4433',
      '192.0.2.1:443',
      '[2001:db8::1]:4433',
      '[2001:db8::2]:4433',
    ];
    expect(parseForwarderConfig({ listen: several }).ok).toBe(true);
  });

  test.each([
    [
      { listen: 'localhost:4433' },
      'listen[0] must be an IP address and port such as 0.0.0.0:4433 or [::]:4433.',
    ],
    [{ listen: [] }, 'listen must name at least one address.'],
    [
      { tunnel: ['1.2.3.4:1', '1.2.3.5:1'] },
      'tunnel may hold one IPv4 address and one IPv6 address, not more.',
    ],
    [
      { listen: ['1.2.3.4:1', '0.0.0.0:1', '[::]:1'] },
      'listen holds 1.2.3.4:1 and 0.0.0.0:1, of which one covers the other.',
    ],
    [{ metrics: 9091 }, 'metrics must be a string.'],
    [{ prob: {} }, 'The file has a key that means nothing here: prob.'],
    [{ socket: 'raw' }, 'socket must be one of auto, batched, dgram.'],
    [{ probe: { intervalMs: 1 } }, 'probe.intervalMs must be at least 10.'],
    [{ logLevel: 'loud' }, 'logLevel must be one of trace, debug, info, warn, error, fatal, silent.'],
    [
      { probe: { silentAfter: 5, deadAfter: 6 } },
      'probe.deadAfter is 6, but must be at least twice probe.silentAfter (5): calls on a dead backend are ended.',
    ],
  ])('%o: one sentence', (input, sentence) => {
    expect(parseForwarderConfig(input)).toEqual({ ok: false, faults: [sentence] });
  });

  test('a file that is missing is one sentence', () => {
    expect(() => readClusterFile('/nowhere/cluster.json')).toThrow(
      'cluster file: /nowhere/cluster.json cannot be read: there is no such file.',
    );
    expect(() => readSettings('/nowhere/lb.json', {})).toThrow(
      'configuration: /nowhere/lb.json cannot be read: there is no such file.',
    );
  });

  test('of a relative path it says where that leads to', () => {
    expect(() => readClusterFile('nowhere/cluster.json')).toThrow(
      `cluster file: nowhere/cluster.json cannot be read: there is no such file. It was looked for as ${resolve('nowhere/cluster.json')}.`,
    );
  });
});

describe('a dry run', () => {
  const cluster = threeAlgorithms(['127.0.0.1:5001', '[::1]:5002']);
  const client = { host: '192.0.2.1', port: 50_000 };

  test('names the backend of a routable packet', () => {
    const text = explainPacket(shortPacket(issue(cluster, 1, 1)), client, cluster);
    expect(text).toContain('header: short');
    expect(text).toContain('config rotation: 1');
    expect(text).toContain('routable: to backend-2 at [::1]:5002, which its CID names');
  });

  test('says why a packet is unroutable, and that the hash decides', () => {
    const text = explainPacket(longPacket(new Uint8Array(8)), client, cluster);
    expect(text).toContain('header: long, version 0x00000001 (QUIC v1)');
    expect(text).toMatch(
      /unroutable: it is shorter than the CIDs of its configuration; to backend-\d .* by the hash/,
    );
  });

  test('says why a packet is dropped', () => {
    expect(explainPacket(new Uint8Array(3), client, cluster)).toContain(
      'dropped: a short header packet has at least 21',
    );
    expect(explainPacket(new Uint8Array(), client, cluster)).toContain('dropped: it has no octets');
  });
});
