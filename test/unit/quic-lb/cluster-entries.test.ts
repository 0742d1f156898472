import { describe, expect, it } from 'vitest';
import {
  type ClusterConfig,
  isInNetwork,
  parseClusterFile,
  parseNetwork,
} from '../../../proto/quic-lb/index.ts';
import { parseIp, toHex } from '../../../proto/wire/index.ts';

const KEY = '00112233445566778899aabbccddeeff';
const base = (changes: object) => ({
  quicLb: [{ configRotation: 0, serverIdLength: 2, nonceLength: 8, key: KEY }],
  routingKey: '11'.repeat(32),
  statelessResetKey: '22'.repeat(32),
  backends: [{ name: 'b', serverId: '0001', tunnel: '127.0.0.1:5001' }],
  ...changes,
});
const parse = (changes: object, secrets?: Parameters<typeof parseClusterFile>[1]) =>
  parseClusterFile(JSON.stringify(base(changes)), secrets);
const sound = (changes: object): ClusterConfig => {
  const result = parse(changes);
  if (!result.ok) throw new Error(result.faults.join('\n'));
  return result.value;
};
const faults = (changes: object): string[] => {
  const result = parse(changes);
  return result.ok ? [] : result.faults;
};
const listed = ({ backends }: ClusterConfig) =>
  backends.map(({ name, serverId, tunnel, tcp }) =>
    [name, toHex(serverId), `${tunnel.host}:${tunnel.port}`, ...(tcp ? [tcp.port] : [])].join(' '),
  );

describe('an entry of backends that stands for several processes', () => {
  it('counts server IDs and ports of its workers up, and names them by number', () => {
    const entry = { name: 'b', serverId: '00fe', tunnel: '10.0.0.1:5001', tcp: '10.0.0.1:7001', workers: 3 };
    expect(listed(sound({ backends: [entry] }))).toEqual([
      'b/0 00fe 10.0.0.1:5001 7001',
      'b/1 00ff 10.0.0.1:5002 7002',
      'b/2 0100 10.0.0.1:5003 7003',
    ]);
  });

  it('takes listed server IDs in place of counted ones, by rotation too', () => {
    const entry = { name: 'b', serverId: { 0: ['0007', '0003'] }, tunnel: '10.0.0.1:5001', workers: 2 };
    expect(listed(sound({ backends: [entry] }))).toEqual([
      'b/0 0007 10.0.0.1:5001',
      'b/1 0003 10.0.0.1:5002',
    ]);
    expect(faults({ backends: [{ ...entry, workers: 3 }] })).toEqual([
      'Backend b/2 has no serverId: the list holds 2.',
    ]);
  });

  it('counts replicas by their ordinal, workers within', () => {
    const entry = {
      name: 'v-{ordinal}',
      serverId: '0010',
      tunnel: 'v-{ordinal}.v.svc:5001',
      replicas: 2,
      workers: 2,
    };
    expect(listed(sound({ backends: [entry] }))).toEqual([
      'v-0/0 0010 v-0.v.svc:5001',
      'v-0/1 0011 v-0.v.svc:5002',
      'v-1/0 0012 v-1.v.svc:5001',
      'v-1/1 0013 v-1.v.svc:5002',
    ]);
  });

  it('is refused in one sentence for each fault', () => {
    const entry = { name: 'b', serverId: 'fffe', tunnel: '10.0.0.1:5001' };
    expect(faults({ backends: [{ ...entry, workers: 3 }] })).toEqual([
      'Backend b/2 has no serverId: 2 more than fffe needs more than 2 octets.',
    ]);
    expect(faults({ backends: [{ ...entry, workers: 0 }] })).toEqual([
      'backends[0].workers must be 1 at least.',
    ]);
    expect(faults({ backends: [{ ...entry, workers: 1000 }] })).toEqual([
      'backends[0].workers must be 128 at most.',
    ]);
    expect(faults({ backends: [{ ...entry, replicas: 2 }] })).toEqual([
      'Backend b has replicas, but its name and its tunnel do not both hold {ordinal}.',
    ]);
    expect(faults({ backends: [{ ...entry, tunnel: '10.0.0.1:65535', workers: 2 }] })).toEqual([
      'Backend b/1 would have port 65536; the ports of workers are counted up from 65535.',
    ]);
    const two = [
      { ...entry, serverId: '0001', workers: 2 },
      { name: 'c', serverId: '0002', tunnel: '10.0.0.2:5001' },
    ];
    expect(faults({ backends: two })).toEqual([
      'Backends b/1 and c have the same serverId for config rotation 0.',
    ]);
  });
});

describe('hosts of a cluster file', () => {
  it('may be names (RFC 1123 §2.1), and ranges where forwarders are listed', () => {
    const forwarders = ['10.0.0.1', '10.1.0.0/16', '2001:db8::/32', 'Forwarders.parley.svc', 'fd00::1'];
    const { backends, forwarders: taken } = sound({
      forwarders,
      backends: [{ name: 'b', serverId: '0001', tunnel: 'Backend-0.example:5001' }],
    });
    expect(taken).toEqual(forwarders);
    expect(backends[0]?.tunnel).toEqual({ host: 'backend-0.example', port: 5001 });
  });

  it.each(['10.0.0.1/24', '10.0.0.0/33', '10.0.0.256', '::/129', 'a b', '1.2.3', '-a', ''])(
    'refuses the forwarder "%s"',
    (host) => {
      expect(faults({ forwarders: [host] })).toEqual([
        'forwarders[0] must be an IP address, a range such as 10.0.0.0/24, or a host name.',
      ]);
    },
  );

  it.each([
    ['10.1.0.0/16', '10.1.255.255', '10.2.0.0'],
    ['10.0.0.128/25', '10.0.0.255', '10.0.0.127'],
    ['2001:db8::/33', '2001:db8:7fff::1', '2001:db8:8000::1'],
    ['0.0.0.0/0', '203.0.113.9', '2001:db8::1'],
  ])('a range %s holds %s and not %s', (range, inside, outside) => {
    const network = parseNetwork(range)!;
    expect(isInNetwork(parseIp(inside)!, network)).toBe(true);
    expect(isInNetwork(parseIp(outside)!, network)).toBe(false);
  });
});

describe('secrets that stand elsewhere', () => {
  const elsewhere = {
    quicLb: [{ configRotation: 0, serverIdLength: 2, nonceLength: 8, key: { file: 'cid.key' } }],
    routingKey: { env: 'ROUTING' },
  };

  it('are read from their place', () => {
    const places: unknown[] = [];
    const result = parse(elsewhere, (place) => {
      places.push(place);
      return { ok: true, text: 'file' in place ? `${KEY}\n` : 'ab'.repeat(32) };
    });
    if (!result.ok) throw new Error(result.faults.join());
    expect(places).toEqual([{ env: 'ROUTING' }, { file: 'cid.key' }]);
    expect(toHex(result.value.quicLb[0]!.key!)).toBe(KEY);
    expect(toHex(result.value.routingKey)).toBe('ab'.repeat(32));
  });

  it('that cannot be had are named by their place, and no part of a wrong one is shown', () => {
    const missing = parse(elsewhere, () => ({ ok: false, fault: 'ROUTING is not set' }));
    expect(missing).toEqual({
      ok: false,
      faults: ['routingKey: ROUTING is not set.', 'quicLb[0].key: ROUTING is not set.'],
    });
    const wrong = parse(elsewhere, () => ({ ok: true, text: 'deadbeefdeadbeef' }));
    expect(JSON.stringify(wrong)).not.toContain('dead');
    expect(wrong.ok).toBe(false);
    expect(parse(elsewhere).ok).toBe(false);
  });
});
