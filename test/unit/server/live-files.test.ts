import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createDevelopmentCertificate } from '../../../certs/index.ts';
import { FileWatch } from '../../../net/file-watch.ts';
import { bindAddress, LiveCluster, readCluster } from '../../../server/cluster.ts';
import { LiveCertificate } from '../../../server/live-certificate.ts';
import { DevelopmentCertificate } from '../../../server/start/certificates.ts';

const DAY_MS = 86_400_000;
let directory: string;
let said: string[];
const log = pino({ level: 'info' }, { write: (line: string) => void said.push(line) });
const inDirectory = (name: string) => join(directory, name);
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'parley-files-'));
  said = [];
});
afterEach(() => {
  vi.useRealTimers();
  rmSync(directory, { recursive: true, force: true });
});

describe('a file that is watched', () => {
  it('is noticed when it is written, replaced by a rename, removed and made again, and only then', () => {
    vi.useFakeTimers();
    const path = inDirectory('file');
    const other = inDirectory('other');
    writeFileSync(path, 'one');
    let changes = 0;
    const watch = new FileWatch([path, other], () => {
      changes += 1;
    });
    const look = () => {
      vi.advanceTimersByTime(60_000);
      return changes;
    };
    expect(look()).toBe(0);
    writeFileSync(path, 'three');
    expect(look()).toBe(1);
    writeFileSync(inDirectory('new'), 'three');
    renameSync(inDirectory('new'), path);
    expect(look()).toBe(2);
    writeFileSync(other, 'appears');
    expect(look()).toBe(3);
    rmSync(path);
    expect(look()).toBe(4);
    watch.close();
    writeFileSync(path, 'again');
    expect(look()).toBe(4);
  });
});

describe("a backend's certificate", () => {
  const write = (name: string, made = createDevelopmentCertificate({ now: Date.now() })) => {
    writeFileSync(inDirectory('cert.pem'), made.certificatePem);
    if (name === 'both') writeFileSync(inDirectory('key.pem'), made.keyPem);
    return made;
  };
  const live = () => new LiveCertificate(inDirectory('cert.pem'), inDirectory('key.pem'), log);

  it('is taken anew when its files change, and its end is known', () => {
    write('both');
    const certificate = live();
    const renewed = write('both');
    certificate.reload();
    expect(Buffer.from(certificate.current.chain[0]!).equals(renewed.der)).toBe(true);
    expect(certificate.notAfterEpochMs).toBe(renewed.notAfter.getTime());
    certificate.close();
  });

  it('stays when the new one is no certificate, does not fit its key yet, or is gone; the log says why', () => {
    const made = write('both');
    const certificate = live();
    const stays = (why: RegExp) => {
      certificate.reload();
      expect(Buffer.from(certificate.current.chain[0]!).equals(made.der)).toBe(true);
      expect(said.splice(0).join()).toMatch(why);
    };
    write('certificate only');
    stays(/the old one stays.*does not belong/);
    writeFileSync(inDirectory('cert.pem'), 'nonsense');
    stays(/holds no PEM certificate/);
    rmSync(inDirectory('cert.pem'));
    stays(/there is no such file/);
    write('both', createDevelopmentCertificate({ now: Date.now() - 20 * DAY_MS }));
    stays(/not valid now/);
    certificate.close();
  });
});

describe('the development certificate of npm start', () => {
  it('is renewed two days before its end, and pages learn both hashes for the while', () => {
    let now = Date.now();
    const certificate = new DevelopmentCertificate(directory, [], () => now);
    const [first] = certificate.hashes();
    now += 10 * DAY_MS;
    expect(certificate.refresh()).toBeUndefined();
    now += DAY_MS;
    expect(certificate.refresh()).toMatch(/^renewed, valid until/);
    const [second, ...older] = certificate.hashes();
    expect(second).not.toBe(first);
    expect(older).toEqual([first]);
    expect(certificate.refresh()).toBeUndefined();
  });
});

describe('the forwarders that a tunnel port takes packets from', () => {
  const cluster = (forwarders: readonly string[]) =>
    JSON.stringify({
      quicLb: [{ configRotation: 0, serverIdLength: 2, nonceLength: 8, firstOctetEncodesLength: true }],
      routingKey: '00'.repeat(32),
      statelessResetKey: '11'.repeat(32),
      backends: [{ name: 'b', serverId: '0001', tunnel: '127.0.0.1:5001' }],
      forwarders,
    });

  it('follow the cluster file; a broken one, or one without this backend, changes nothing and is named', () => {
    const path = inDirectory('cluster.json');
    writeFileSync(path, cluster(['10.0.0.1']));
    const live = new LiveCluster(path, readCluster(path, 'b'), log);
    const taken = () => ['10.0.0.1', '10.0.0.2', '10.0.0.3'].filter((host) => live.forwarders.has(host));
    writeFileSync(path, cluster(['10.0.0.1', '10.0.0.2']));
    live.reload();
    expect(taken()).toEqual(['10.0.0.1', '10.0.0.2']);
    writeFileSync(path, '{');
    live.reload();
    expect(said.at(-1)).toContain('The new cluster file is not taken');
    writeFileSync(path, cluster(['10.0.0.3']).replace('"b"', '"another"'));
    live.reload();
    expect(said.at(-1)).toContain('there is no backend called \\"b\\"');
    expect(taken()).toEqual(['10.0.0.1', '10.0.0.2']);
    live.close();
  });

  it('are found behind a name as DNS answers, and stay when it answers nothing', async () => {
    const path = inDirectory('cluster.json');
    writeFileSync(path, cluster(['f.example', '10.1.0.0/16']));
    const answers = [['10.0.0.5'], []];
    const ask = async () => ({ addresses: answers.shift() ?? [], ttlMs: 1 });
    const live = new LiveCluster(path, readCluster(path, 'b'), log, { ask });
    expect(live.forwarders.has('10.1.2.3')).toBe(true);
    await vi.waitFor(() => expect(live.forwarders.has('10.0.0.5')).toBe(true));
    await vi.waitFor(() => expect(live.nameSilences).toBe(1), { timeout: 5000 });
    expect(live.forwarders.has('10.0.0.5')).toBe(true);
    expect(said.join()).toContain('f.example has no address now (no address): what it had stays');
    live.close();
  });
});

describe('its own entry in the cluster file', () => {
  const place = (name: string, entry: object) => {
    const path = inDirectory('cluster.json');
    const backends = [{ name: 'x', serverId: '00ff', tunnel: 'x-0.example:5001' }, entry];
    const content = {
      quicLb: [{ configRotation: 0, serverIdLength: 2, nonceLength: 8 }],
      routingKey: '00'.repeat(32),
      statelessResetKey: '11'.repeat(32),
      backends,
    };
    writeFileSync(path, JSON.stringify(content));
    return readCluster(path, name);
  };

  it("is found by the host's name, as a pod of a StatefulSet has it, and by a worker's number", () => {
    const entry = {
      name: 'pods {ordinal}',
      serverId: '0010',
      tunnel: 'parley-{ordinal}.parley:5001',
      replicas: 3,
    };
    expect(place('parley-2', entry)).toMatchObject({ name: 'pods 2', serverId: Uint8Array.of(0, 0x12) });
    expect(place('Parley-1.parley', entry).name).toBe('pods 1');
    expect(place('parley-1/1', { ...entry, workers: 2 })).toMatchObject({
      name: 'pods 1/1',
      serverId: Uint8Array.of(0, 0x13),
    });
    expect(() => place('parley-3', entry)).toThrow(/there is no backend called "parley-3"/);
  });

  it('has its tunnel port on every address where it is a name', () => {
    const { tunnel } = place('x', { name: 'y', serverId: '0001', tunnel: '10.0.0.1:5001' });
    expect(bindAddress(tunnel)).toEqual({ host: '0.0.0.0', port: 5001 });
    expect(bindAddress({ host: '10.0.0.1', port: 5001 })).toEqual({ host: '10.0.0.1', port: 5001 });
  });
});
