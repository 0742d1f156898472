import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseBackendConfig } from '../../../server/config.ts';
import { openKeyLog, QlogDirectory } from '../../../server/insight/index.ts';
import { type PairOptions, QuicPair } from '../../support/quic-pair.ts';
import { loggedCall } from './logged-call.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'parley-qlog-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

interface QlogEvent {
  readonly time: number;
  readonly name: string;
  readonly data: Record<string, unknown> & {
    header?: { packet_type: string; packet_number: number };
    frames?: { frame_type: string; stream_id?: number; length?: number }[];
  };
}

function readTrace(name: string): { head: Record<string, unknown>; events: QlogEvent[]; text: string } {
  const text = readFileSync(join(directory, name), 'utf8');
  // RFC 7464: each record begins with RS and ends with LF.
  expect(text.startsWith('\u001e') && text.endsWith('\n')).toBe(true);
  const [head, ...events] = text
    .split('\u001e')
    .slice(1)
    .map((record) => JSON.parse(record) as unknown);
  return { head: head as Record<string, unknown>, events: events as QlogEvent[], text };
}

const call = (options?: PairOptions) => loggedCall(directory, options);

describe('qlog', () => {
  it('writes one file for each end of a connection, in the JSON-SEQ form that qvis reads', async () => {
    await call();
    const names = readdirSync(directory).sort();
    expect(names.filter((name) => name.endsWith('_client.sqlog'))).toHaveLength(1);
    expect(names.filter((name) => name.endsWith('_server.sqlog'))).toHaveLength(1);
    for (const name of names) {
      const { head, events } = readTrace(name);
      expect(head).toMatchObject({
        qlog_format: 'JSON-SEQ',
        qlog_version: '0.3',
        trace: { common_fields: { time_format: 'relative', protocol_type: ['QUIC', 'HTTP3'] } },
      });
      const times = events.map((event) => event.time);
      expect(times).toEqual([...times].sort((a, b) => a - b));
      expect(events.every((event) => /^(transport|recovery|connectivity):[a-z_]+$/.test(event.name))).toBe(
        true,
      );
      // Only its owner reads who called.
      expect(statSync(join(directory, name)).mode & 0o077).toBe(0);
    }
  });

  it('accounts for every packet, with its frames, and for the parameters, the path and the end', async () => {
    const pair = await call();
    const { events } = readTrace(readdirSync(directory).find((name) => name.includes('server'))!);
    const named = (name: string) => events.filter((event) => event.name === name);
    const received = named('transport:packet_received');
    const sent = named('transport:packet_sent');
    expect(sent.length).toBeGreaterThanOrEqual(pair.counts.toClient);
    for (const packets of [sent, received]) {
      for (const type of ['initial', 'handshake', '1RTT']) {
        const numbers = packets
          .filter((event) => event.data.header?.packet_type === type)
          .map((event) => event.data.header!.packet_number);
        expect(numbers.length).toBeGreaterThan(0);
        expect(new Set(numbers).size).toBe(numbers.length);
      }
    }
    const streamed = received
      .flatMap((event) => event.data.frames!)
      .filter((frame) => frame.frame_type === 'stream')
      .reduce((sum, frame) => sum + frame.length!, 0);
    expect(streamed).toBe(100_000);
    expect(sent.flatMap((event) => event.data.frames!).some((frame) => frame.frame_type === 'ack')).toBe(
      true,
    );
    expect(named('transport:parameters_set').map((event) => event.data.owner)).toEqual(['local', 'remote']);
    expect(named('recovery:metrics_updated').length).toBeGreaterThan(0);
    expect(named('connectivity:path_updated').at(-1)!.data).toMatchObject({ validated: true });
    const end = { owner: 'remote', application_code: 0, reason: 'done' };
    expect(events.at(-1)).toMatchObject({ name: 'connectivity:connection_closed', data: end });
  });

  it('names lost packets, and no token or secret', async () => {
    const pair = await call({ seed: 4, loss: { toServer: 0.1 } });
    expect(pair.counts.toServer).toBeGreaterThan(80);
    const { events, text } = readTrace(readdirSync(directory).find((name) => name.includes('client'))!);
    expect(events.some((event) => event.name === 'recovery:packet_lost')).toBe(true);
    expect(text).not.toMatch(/token"|secret/i);
  });

  it('keeps only so many files, the newest, and only so much in each', async () => {
    writeFileSync(join(directory, '2000-01-01_old_server.sqlog'), '');
    const logs = new QlogDirectory(directory, { maxFiles: 2, maxFileOctets: 3000, maxOpen: 2 });
    const pair = new QuicPair({ serverOptions: { observer: logs.observer } });
    for (let i = 0; i < 3; i++) {
      pair.establish().client.close(0, '');
      pair.run(undefined, 5000);
    }
    await logs.close();
    const names = readdirSync(directory);
    expect(names).toHaveLength(2);
    expect(names.some((name) => name.includes('old'))).toBe(false);
    for (const name of names) expect(statSync(join(directory, name)).size).toBeLessThanOrEqual(3000);
    expect(logs.skipped.records).toBeGreaterThan(0);
    expect(logs.skipped.connections).toBe(1);
  });

  it('says at start that its directory cannot be used', () => {
    const file = join(directory, 'file');
    writeFileSync(file, '');
    expect(() => new QlogDirectory(file)).toThrow(/qlogDirectory: cannot use .*file/);
  });
});

describe('the key log', () => {
  const line = 'CLIENT_RANDOM 00 11';

  it('is off unless the configuration or SSLKEYLOGFILE names a file, and the configuration decides', () => {
    expect(openKeyLog(undefined, {})).toBeUndefined();
    expect(openKeyLog(undefined, { SSLKEYLOGFILE: '' })).toBeUndefined();
    const [a, b] = [join(directory, 'a'), join(directory, 'b')];
    openKeyLog(undefined, { SSLKEYLOGFILE: a })!.write(line);
    openKeyLog(b, { SSLKEYLOGFILE: a })!.write(line);
    for (const path of [a, b]) {
      expect(readFileSync(path, 'utf8')).toBe(`${line}\n`);
      expect(statSync(path).mode & 0o077).toBe(0);
    }
  });

  it('says at start that its file cannot be written', () => {
    expect(() => openKeyLog(undefined, { SSLKEYLOGFILE: directory })).toThrow(/SSLKEYLOGFILE: cannot write/);
  });
});

describe('the configuration', () => {
  const base = {
    name: 'backend-1',
    certificate: 'c.pem',
    key: 'k.pem',
    upstream: { kind: 'local', baseUrl: 'https://localhost:1/v1', ca: 'c.pem' },
  };

  it('has insight off by default', () => {
    const config = parseBackendConfig(base, 'test');
    expect([config.qlogDirectory, config.keyLogFile]).toEqual([undefined, undefined]);
    expect(parseBackendConfig({ ...base, qlogDirectory: 'q' }, 'test').qlogDirectory).toBe('q');
    expect(() => parseBackendConfig({ ...base, qlogDirectory: '' }, 'test')).toThrow(/qlogDirectory/);
  });
});
