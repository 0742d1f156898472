import { describe, expect, test } from 'vitest';
import { parseClusterFile } from '../../../proto/quic-lb/index.ts';

const KEY = '8f95f09245765f80256934e50c66207f';
const good = () => ({
  quicLb: [
    { configRotation: 0, serverIdLength: 2, nonceLength: 8, key: KEY, firstOctetEncodesLength: true },
  ] as object[],
  routingKey: '11'.repeat(32),
  statelessResetKey: '22'.repeat(32),
  backends: [
    { name: 'backend-1', serverId: '0001', tunnel: '127.0.0.1:5001' },
    { name: 'backend-2', serverId: '0002', tunnel: '[::1]:5002' },
  ] as object[],
  forwarders: ['127.0.0.1', '::1'],
});

type File = ReturnType<typeof good>;
const faultsOf = (file: unknown) => {
  const result = parseClusterFile(JSON.stringify(file));
  return result.ok ? [] : result.faults;
};

describe('cluster.json', () => {
  test('is decoded to octets and addresses', () => {
    const result = parseClusterFile(JSON.stringify(good()));
    if (!result.ok) throw new Error(result.faults.join());
    const { value } = result;
    expect(value.quicLb[0]?.key).toHaveLength(16);
    expect(value.routingKey).toHaveLength(32);
    expect(value.backends[1]).toMatchObject({
      name: 'backend-2',
      serverId: Uint8Array.of(0, 2),
      tunnel: { host: '::1', port: 5002 },
    });
    expect(value.forwarders).toEqual(['127.0.0.1', '::1']);
  });

  test('nonce length and the first octet’s use have defaults', () => {
    const result = parseClusterFile(
      JSON.stringify({ ...good(), quicLb: [{ configRotation: 1, serverIdLength: 2 }] }),
    );
    expect(result.ok && result.value.quicLb[0]).toEqual({
      configRotation: 1,
      serverIdLength: 2,
      nonceLength: 8,
      firstOctetEncodesLength: true,
    });
  });

  test('a backend may have a server ID for each rotation', () => {
    const file = good();
    file.quicLb.push({ configRotation: 3, serverIdLength: 1, nonceLength: 4 });
    file.backends = [{ name: 'a', serverId: { 0: '0001', 3: '07' }, tunnel: '127.0.0.1:5001' }];
    const result = parseClusterFile(JSON.stringify(file));
    expect(result.ok && result.value.backends[0]?.serverIds.get(3)).toEqual(Uint8Array.of(7));
    expect(result.ok && result.value.backends[0]?.serverId).toEqual(Uint8Array.of(0, 1));
  });

  test('text that is not JSON is one sentence', () => {
    const result = parseClusterFile('{');
    expect(result.ok).toBe(false);
    expect(!result.ok && result.faults[0]).toMatch(/^The file is not JSON: look at line \d+, column \d+\.$/);
  });

  test('packets in the tunnel must carry a tag unless the file says otherwise', () => {
    const tagOf = (file: object) => {
      const result = parseClusterFile(JSON.stringify(file));
      return result.ok ? result.value.tunnelTag : result.faults;
    };
    expect(tagOf(good())).toBe('require');
    expect(tagOf({ ...good(), tunnelTag: 'accept' })).toBe('accept');
    expect(tagOf({ ...good(), tunnelTag: 'no' })).toEqual(['tunnelTag must be one of require, accept, off.']);
  });

  describe('a broken file', () => {
    const keys = [
      KEY,
      'c41e97d260b58f3a0d6e8b47f1953c2ac41e97d260b58f3a0d6e8b47f1953c2a',
      '5b9083acf7261ed45b9083acf7261ed45b9083acf7261ed45b9083acf7261ed4',
    ] as const;
    const [key, routingKey, statelessResetKey] = keys;
    const file = () => ({ ...good(), routingKey, statelessResetKey });
    const text = JSON.stringify(file(), null, 2);
    const swapped = (from: string, to: string) => text.replace(from, to);
    const cut = Array.from({ length: 40 }, (_, i) => text.slice(0, Math.floor((text.length * i) / 40)));
    // One character at a time is lost, in every place: quotes, commas and brackets among them.
    const holes = Array.from(text, (_, i) => text.slice(0, i) + text.slice(i + 1));
    const broken: string[] = [
      ...cut,
      ...holes,
      swapped(`"${key}"`, key),
      swapped(`"${routingKey}"`, routingKey),
      swapped(`"${routingKey}"`, `'${routingKey}'`),
      swapped(`"${routingKey}"`, routingKey.replace(/[a-f]/g, '7')),
      swapped('"routingKey"', `"${routingKey}"`),
      swapped('"routingKey": ', ''),
      swapped('"backend-1"', `"${routingKey}"`).replace('"backend-2"', `"${routingKey}"`),
      swapped('"0001"', `"${key}"`).replace('"0002"', `"${key}"`),
      swapped('"0001"', `{"${key}": "${routingKey}"}`),
      swapped('"0001"', `{"0": "${key}", "${key}": 1}`),
      swapped('"127.0.0.1:5001"', `"${key}"`),
      swapped('"127.0.0.1"', `"${statelessResetKey}"`),
      swapped('"configRotation": 0', `"configRotation": ${routingKey.replace(/[a-f]/g, '7').slice(0, 15)}`),
      swapped('"serverIdLength": 2', `"serverIdLength": 834095`),
      swapped('"forwarders"', `"tunnelTag": "${key}", "forwarders"`),
      JSON.stringify(keys),
      JSON.stringify(key),
      key,
      `routingKey=${routingKey}`,
    ];

    test('is refused without a word of any key, be it whole or in part', () => {
      const runs = new Set(
        keys.flatMap((k) => Array.from({ length: k.length - 5 }, (_, i) => k.slice(i, i + 6))),
      );
      let refused = 0;
      for (const one of broken) {
        const result = parseClusterFile(one);
        if (result.ok) continue;
        refused++;
        const said = result.faults.join('\n').toLowerCase();
        expect([...runs].filter((run) => said.includes(run))).toEqual([]);
        expect(said).not.toMatch(/[0-9a-f]{6}/);
      }
      expect(refused).toBeGreaterThan(150);
    });

    test('that is not JSON says where', () => {
      const result = parseClusterFile(swapped('"0001",', '"0001"'));
      expect(!result.ok && result.faults).toEqual(['The file is not JSON: look at line 17, column 7.']);
    });
  });

  const change = (edit: (file: File) => void): File => {
    const file = good();
    edit(file);
    return file;
  };
  const configWith = (changes: object) =>
    change((file) => {
      file.quicLb = [{ ...file.quicLb[0], ...changes }];
    });
  const backendWith = (changes: object) =>
    change((file) => {
      file.backends[0] = { ...file.backends[0], ...changes };
    });

  test.each([
    [
      configWith({ configRotation: 7 }),
      'quicLb[0]: configRotation is 7, but must be 0 to 6 (7 is reserved for unroutable CIDs).',
    ],
    [configWith({ nonceLength: 3 }), 'quicLb[0]: nonceLength is 3, but must be at least 4 octets.'],
    [
      configWith({ nonceLength: 18 }),
      'quicLb[0]: serverIdLength and nonceLength make 20 octets, but a CID holds at most 19 of them.',
    ],
    [configWith({ key: 'abcd' }), 'quicLb[0].key must be 16 octets as 32 hex digits.'],
    [configWith({ keys: 1 }), 'quicLb[0] has a key that means nothing here: keys.'],
    [configWith({ serverIdLength: undefined }), 'quicLb[0].serverIdLength must be a whole number of octets.'],
    [{ ...good(), routingKey: '11' }, 'routingKey must be 32 octets as 64 hex digits.'],
    [{ ...good(), backends: [] }, 'backends must name at least one backend.'],
    [{ ...good(), quicLb: [] }, 'quicLb must hold at least one configuration.'],
    [
      { ...good(), forwarders: ['lb_example'] },
      'forwarders[0] must be an IP address, a range such as 10.0.0.0/24, or a host name.',
    ],
    [[], 'The file must be an object.'],
    [
      backendWith({ serverId: '01' }),
      'Backend backend-1 has a serverId of 1 octets, but config rotation 0 says serverIdLength 2.',
    ],
    [backendWith({ serverId: { 1: '0001' } }), 'Backend backend-1 has no serverId for config rotation 0.'],
    [
      backendWith({ serverId: '0002' }),
      'Backends backend-1 and backend-2 have the same serverId for config rotation 0.',
    ],
    [backendWith({ serverId: 'xyz' }), 'backends[0].serverId must be hex of whole octets.'],
    [backendWith({ name: 'backend-2' }), 'Two backends have the name backend-2; give each its own.'],
    [
      backendWith({ tunnel: '[::1]:5002' }),
      'Two backends have the tunnel address [::1]:5002; give each its own.',
    ],
    [
      backendWith({ tunnel: 'host:0' }),
      'backends[0].tunnel must be an address and port such as 127.0.0.1:5001 or [::1]:5001, or a host name and port.',
    ],
  ])('fault %#: one clear sentence', (file, sentence) => {
    expect(faultsOf(file)).toEqual([sentence]);
  });

  test('two configurations of one rotation are refused', () => {
    const file = change((f) => f.quicLb.push(f.quicLb[0] as object));
    expect(faultsOf(file)).toContain('Two entries of quicLb have the configRotation 0; give each its own.');
  });

  test('one key in two configurations is refused, as the draft (§9.6) forbids a nonce to come twice under one', () => {
    const file = change((f) =>
      f.quicLb.push({ configRotation: 1, serverIdLength: 2, nonceLength: 9, key: KEY.toUpperCase() }),
    );
    expect(faultsOf(file)).toEqual(['Two entries of quicLb have the same key; make a new one for each.']);
  });

  test('one server ID both in plaintext and encrypted is refused, as the draft forbids it (§9.7)', () => {
    const file = change((f) => f.quicLb.push({ configRotation: 1, serverIdLength: 2 }));
    expect(faultsOf(file)[0]).toMatch(
      /^Backend backend-1 uses one serverId both with a key \(rotation 0\) and without/,
    );
  });
});
