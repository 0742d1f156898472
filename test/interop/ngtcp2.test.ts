import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { startCluster, type TestCluster } from '../support/cluster.ts';
import { backendLogged, backendMetric } from './support/backends.ts';
import { answers, gtlsclient, ONCE, serverGroup } from './support/gtlsclient.ts';
import { cell, type Feature } from './support/matrix.ts';

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await startCluster({ backends: 2 });
});
afterAll(() => cluster?.close());

const SUITES = 'NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL';
const ask = (...options: string[]) => gtlsclient(cluster.forwarderPort, options);
const ngtcp2 = (feature: Feature, shows: string, run: () => Promise<void>) =>
  cell('ngtcp2', feature, shows, run);

describe('ngtcp2 (gtlsclient)', () => {
  ngtcp2('handshake', 'GET /healthz is answered with 200 and the name of a backend', async () => {
    const output = await ask(...ONCE);
    expect(output).toContain('Negotiated ALPN is h3');
    expect(answers(output)).toBe(1);
    expect(output).toMatch(/"backend|backend-[12]/);
  });

  ngtcp2('TLS_AES_128_GCM_SHA256', 'the client says that it was negotiated', async () => {
    const output = await ask(...ONCE, `--ciphers=${SUITES}:+AES-128-GCM`);
    expect(output).toContain('Negotiated cipher suite is AES-128-GCM');
    expect(answers(output)).toBe(1);
  });

  ngtcp2('TLS_AES_256_GCM_SHA384', 'the client says that it was negotiated', async () => {
    const output = await ask(...ONCE, `--ciphers=${SUITES}:+AES-256-GCM`);
    expect(output).toContain('Negotiated cipher suite is AES-256-GCM');
    expect(answers(output)).toBe(1);
  });

  ngtcp2('TLS_CHACHA20_POLY1305_SHA256', 'the client says that it was negotiated', async () => {
    const output = await ask(...ONCE, `--ciphers=${SUITES}:+CHACHA20-POLY1305`);
    expect(output).toContain('Negotiated cipher suite is CHACHA20-POLY1305');
    expect(answers(output)).toBe(1);
  });

  for (const [feature, name] of [
    ['X25519', 'GROUP-X25519'],
    ['P-256', 'GROUP-SECP256R1'],
  ] as const) {
    ngtcp2(feature, 'the ServerHello holds a key share of it', async () => {
      const output = await ask(...ONCE, `--groups=-GROUP-ALL:+${name}`);
      expect(serverGroup(output)).toBe(feature);
      expect(answers(output)).toBe(1);
    });
  }

  ngtcp2('HelloRetryRequest', 'a client with a key share of P-384 alone is sent to P-256', async () => {
    const output = await ask(...ONCE, '--groups=-GROUP-ALL:+GROUP-SECP384R1:+GROUP-SECP256R1');
    // Two ClientHellos in Initial packets, the second one behind the first.
    const offsets = [...output.matchAll(/frm tx \d+ Initial CRYPTO\(0x06\) offset=(\d+)/g)].map((m) =>
      Number(m[1]),
    );
    expect(Math.max(...offsets)).toBeGreaterThan(0);
    expect(answers(output)).toBe(1);
  });

  ngtcp2('nothing in common: a TLS alert', 'handshake_failure, with the reason in words', async () => {
    const suite = await ask(...ONCE, `--ciphers=${SUITES}:+AES-128-CCM`);
    expect(suite).toMatch(/rx .*CONNECTION_CLOSE.*CRYPTO_ERROR\(0x128\).*no cipher suite in common/);
    const group = await ask(...ONCE, '--groups=-GROUP-ALL:+GROUP-SECP384R1');
    expect(group).toMatch(/rx .*CONNECTION_CLOSE.*CRYPTO_ERROR\(0x128\).*no key exchange group in common/);
  });

  ngtcp2('Version Negotiation', 'a client of version 0x1a2a3a4a is told of version 1', async () => {
    const output = await ask(...ONCE, '-v', '0x1a2a3a4a');
    expect(output).toMatch(/pkt rx .*version=0x00000000 type=VN/);
    expect(output).toContain('ERR_RECV_VERSION_NEGOTIATION');
  });

  ngtcp2('QUIC version 2 first, then 1', 'Version Negotiation, then a handshake in version 1', async () => {
    const output = await ask(
      ...[...ONCE, '--version=v2draft'],
      ...['--preferred-versions=v2draft,v1', '--other-versions=v2draft,v1'],
    );
    expect(output).toMatch(/pkt rx .*type=VN/);
    expect(output).toContain('Client selected version 0x1');
    expect(answers(output)).toBe(1);
  });

  ngtcp2('a request with a body', '5000 octets are answered with 405, a mebibyte with 413', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'parley-body-'));
    try {
      for (const [octets, status] of [
        [5000, 405],
        [1024 * 1024, 413],
      ] as const) {
        const path = join(directory, `${octets}`);
        writeFileSync(path, new Uint8Array(octets));
        const output = await ask(...ONCE, '--http-method=POST', `--data=${path}`);
        expect(output).toContain(`:status: ${status}]`);
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  ngtcp2('20 % loss each way', '50 requests are all answered', async () => {
    expect(answers(await ask(...ONCE, '-n', '50', '--tx-loss=0.2', '--rx-loss=0.2'))).toBe(50);
  });

  ngtcp2('key update', 'the client begins one, has it confirmed, and is answered after it', async () => {
    const output = await ask(...ONCE, '--key-update=50ms', '--delay-stream=200ms');
    expect(output).toContain('Initiate key update');
    expect(output).toContain('key update confirmed');
    expect(answers(output)).toBe(1);
  });

  ngtcp2('NAT rebinding', 'the backend validates the new path, and answers there', async () => {
    const before = await backendMetric(cluster, 'parley_path_changes_total');
    const output = await ask(
      ...['--timeout=1s', '-n', '3'],
      ...['--change-local-addr=50ms', '--nat-rebinding', '--delay-stream=200ms'],
    );
    expect(output).toContain('Local address is now');
    expect(output).toMatch(/rx .*PATH_CHALLENGE/);
    expect(answers(output)).toBe(3);
    expect(await backendMetric(cluster, 'parley_path_changes_total')).toBeGreaterThan(before);
  });

  ngtcp2(
    'active migration',
    'the client validates its new path under a new CID, and is answered there',
    async () => {
      const before = await backendMetric(cluster, 'parley_path_changes_total');
      const output = await ask(
        ...['--timeout=1s', '-n', '3'],
        ...['--change-local-addr=50ms', '--delay-stream=200ms'],
      );
      expect(output).toMatch(/Path validation against path .* succeeded/);
      expect(output).toMatch(/tx .*RETIRE_CONNECTION_ID.*seq=0/);
      expect(answers(output)).toBe(3);
      expect(await backendMetric(cluster, 'parley_path_changes_total')).toBeGreaterThan(before);
    },
  );

  ngtcp2('small flow-control windows', 'an answer comes through a window of 20 octets', async () => {
    const output = await ask(
      ...ONCE,
      ...['--max-stream-data-bidi-local=20', '--max-data=10000', '--max-window=0', '--max-stream-window=0'],
    );
    expect(output.match(/rx .*STREAM_DATA_BLOCKED/g)?.length).toBeGreaterThan(3);
    expect(answers(output)).toBe(1);
  });

  ngtcp2('many streams', '700 requests on a connection that begins with 512 streams', async () => {
    expect(answers(await ask(...ONCE, '-n', '700'))).toBe(700);
  });

  ngtcp2(
    'small first datagrams are dropped',
    'Initials of 1100 octets get no answer and are counted',
    async () => {
      const output = await ask('--timeout=1s', '--handshake-timeout=1s', '--max-udp-payload-size=1100');
      expect(output).toMatch(/Sent packet: .* 1100 bytes/);
      expect(output).not.toContain('Received packet');
      expect(
        await backendMetric(cluster, 'parley_dropped_packets_total', { reason: 'small-initial' }),
      ).toBeGreaterThan(0);
    },
  );

  ngtcp2('connection close', 'the backend logs H3_NO_ERROR by the peer', async () => {
    await ask(...ONCE);
    await backendLogged(cluster, ({ msg, reason }) => {
      const { by, code } = (reason ?? {}) as { by?: string; code?: number };
      return msg === 'connection closed' && by === 'peer' && code === 0x100;
    });
  });
});
