import { execFileSync, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import type { NetworkInterfaceInfo } from 'node:os';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeDirectory } from '../../../net/files.ts';
import { checkBackend } from '../../../server/check.ts';
import { parseBackendConfig, readBackendConfig, readBackendFile } from '../../../server/config.ts';
import { freshCluster } from '../../../server/fresh-cluster.ts';
import { DevelopmentCertificate } from '../../../server/start/certificates.ts';
import { lanAddresses, lanInstructions } from '../../../server/start/lan.ts';
import { checkPorts } from '../../../server/start/ports.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../../..');
let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'parley-settings-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

const fault = (act: () => unknown) => {
  try {
    act();
  } catch (error) {
    return (error as Error).message;
  }
  return 'none';
};

describe('a folder to write into', () => {
  it('is made with those above it, and may exist already', () => {
    const deep = join(directory, 'a/b/c');
    makeDirectory(deep, 0o700);
    makeDirectory(deep, 0o700);
    expect(statSync(deep).mode & 0o777).toBe(0o700);
  });

  it.each([
    ['/proc/nope', 'no folder can be made there'],
    ['/proc/nope/deeper', 'no folder can be made there'],
    ['/dev/null/x', 'a file stands where a folder should be'],
    [process.execPath, 'a file stands where a folder should be'],
  ])('%s is refused in one sentence, without delay', (path, why) => {
    expect(fault(() => new DevelopmentCertificate(path))).toBe(
      `--directory: cannot write into ${path}: ${why}; name another folder.`,
    );
  });
});

describe('ports that npm start is about to use', () => {
  it('are all named that are not free, with the flag that changes each', async () => {
    const blocker = createSocket('udp4');
    blocker.bind(0, '127.0.0.1');
    await once(blocker, 'listening');
    const { port } = blocker.address();
    const wanted = (what: string, flag: string, host = '127.0.0.1') =>
      ({ what, protocol: 'udp', host, port, flag }) as const;
    await expect(
      checkPorts([wanted('forwarder', '--port'), wanted('backend-1', '--tunnel-port')]),
    ).rejects.toThrow(
      `forwarder: udp 127.0.0.1:${port} is in use by another process; stop that process or choose another port with --port.\n` +
        `--tunnel-port and --port name the same port, udp ${port}; change one of them.`,
    );
    blocker.close();
    await once(blocker, 'close');
    await checkPorts([wanted('forwarder', '--port')]);
    await expect(checkPorts([wanted('forwarder', '--port', '203.0.113.9')])).rejects.toThrow(
      /is no address of this machine/,
    );
  });
});

describe('the page for other devices', () => {
  const info = (address: string, internal = false): NetworkInterfaceInfo[] => [
    { address, internal, family: 'IPv4', netmask: '255.255.255.0', mac: '', cidr: null },
  ];
  const machine = {
    lo: info('127.0.0.1', true),
    docker0: info('172.17.0.1'),
    eth1: info('169.254.3.4'),
    wlan0: info('192.168.1.20'),
  };

  it('is on the addresses that a phone may reach, those of containers last', () => {
    expect(lanAddresses(undefined, machine)).toEqual(['192.168.1.20', '172.17.0.1']);
    expect(lanAddresses('172.17.0.1', machine)).toEqual(['172.17.0.1']);
    expect(fault(() => lanAddresses('10.0.0.1', machine))).toContain(
      'is no address of this machine; it has 127.0.0.1, ',
    );
    expect(fault(() => lanAddresses(undefined, { lo: machine.lo }))).toContain(
      'no IPv4 address in a network',
    );
  });

  it('is told with a QR code, other addresses and what the warning of the browser means', () => {
    const text = lanInstructions(['https://192.168.1.20:8443', 'https://172.17.0.1:8443'], false);
    expect(text).toContain('On a phone in the same network: https://192.168.1.20:8443\n');
    expect(text.split('\n').filter((line) => /^[█▀▄ ]{20,}$/.test(line)).length).toBeGreaterThan(12);
    expect(text).toContain('try https://172.17.0.1:8443');
    expect(text).toContain('warns of the certificate');
    expect(lanInstructions(['https://voice.example:8443'], true)).not.toContain('warns');
  });

  it('has its addresses in the certificate', () => {
    const { certificate } = new DevelopmentCertificate(directory, ['192.168.1.20']);
    const text = execFileSync('openssl', ['x509', '-noout', '-ext', 'subjectAltName', '-in', certificate]);
    expect(text.toString()).toContain('IP Address:192.168.1.20');
  });
});

/** Writes good settings of a backend, with `more`, and the files that they name. */
function writeBackend(more: object): string {
  const path = join(directory, 'b.json');
  const { certificate, key } = new DevelopmentCertificate(directory);
  const cluster = join(directory, 'cluster.json');
  const plan = { tunnels: ['127.0.0.1:5001'], forwarders: ['127.0.0.1'], tcp: false, callHost: undefined };
  writeFileSync(cluster, JSON.stringify(freshCluster(plan)));
  const upstream = { kind: 'local', baseUrl: 'https://localhost:1/v1', ca: certificate };
  writeFileSync(path, JSON.stringify({ name: 'backend-1', cluster, certificate, key, upstream, ...more }));
  return path;
}

describe('the settings of a backend', () => {
  it('with several faults get one sentence for each', () => {
    const input = { name: 3, certificate: 'c', key: 'k', upstream: { kind: 'openai' }, colour: 'red' };
    expect(fault(() => parseBackendConfig(input, 'b.json')).split('\n')).toEqual([
      'b.json: "name": must be a text in quotes.',
      'b.json: there is no setting "colour".',
    ]);
  });

  it('are read as they are written, so that an app can add its own and give them to startBackend', () => {
    const path = writeBackend({ public: '127.0.0.1:4500' });
    const written = readBackendFile(path);
    expect(written).toEqual(JSON.parse(readFileSync(path, 'utf8')));
    const { public: open, maxSessions } = parseBackendConfig({ ...written, maxSessions: 7 }, path);
    expect({ open, maxSessions }).toEqual({ open: { host: '127.0.0.1', port: 4500 }, maxSessions: 7 });
    expect(() => readBackendFile(writeBackend({ colour: 'red' }))).toThrow('there is no setting "colour"');
    expect(() => readBackendFile(writeBackend({ authenticate: 'me' }))).toThrow(
      'there is no setting "authenticate"; hooks are the second argument of startBackend',
    );
  });

  it('that are not JSON are told with line and column, and nothing of the file is repeated', () => {
    const path = join(directory, 'b.json');
    writeFileSync(path, '{\n  "key": "5ec4e7"\n  "name": "b"\n}');
    expect(fault(() => readBackendConfig(path))).toBe(
      `${path}: The file is not JSON: look at line 3, column 3.`,
    );
  });

  it.each([
    ['operatorToken', { operatorToken: { env: 'T' } }],
    ['auth.secret', { auth: { secret: { env: 'T' } } }],
  ])('are not good while the environment variable of %s is not set', (key, more) => {
    const path = writeBackend(more);
    expect(fault(() => checkBackend(path, {}))).toMatch(new RegExp(`^${key}: T is not set; .*\\.$`));
    expect(checkBackend(path, { T: 'x'.repeat(32) }).name).toBe('backend-1');
  });

  it('are good where the cluster file gives the entry several workers', () => {
    const path = writeBackend({});
    const cluster = join(directory, 'cluster.json');
    const file = JSON.parse(readFileSync(cluster, 'utf8')) as { backends: object[] };
    const backends = file.backends.map((entry) => ({ ...entry, workers: 4 }));
    writeFileSync(cluster, JSON.stringify({ ...file, backends }));
    expect(checkBackend(path, {}).name).toBe('backend-1');
    writeFileSync(cluster, JSON.stringify({ ...file, backends: [{ ...backends[0], name: 'other' }] }));
    expect(fault(() => checkBackend(path, {}))).toContain('there is no backend called "backend-1"');
  });

  it('are read by a command that explains itself when a flag is unknown or missing', () => {
    const run = (...args: string[]) => {
      try {
        execFileSync(process.execPath, ['--import', 'tsx', 'server/main.ts', ...args], {
          cwd: ROOT,
          stdio: 'pipe',
        });
      } catch (error) {
        return String((error as { stderr: Buffer }).stderr);
      }
      return 'started';
    };
    expect(run('--colour', 'red')).toMatch(/^Unknown option '--colour'\.\n\nusage: npm run backend/);
    expect(run()).toMatch(/^--config is missing\.\n\nusage: npm run backend/);
    expect(run('--config', '/nowhere.json')).toBe(
      'backend configuration: /nowhere.json cannot be read: there is no such file.\n',
    );
  }, 30_000);
});

describe('a backend that is started', () => {
  it('says in its line "ready" where its ports are, that of the metrics too', async () => {
    const path = writeBackend({ tunnel: '127.0.0.1:0', tcp: '127.0.0.1:0', metrics: '127.0.0.1:0' });
    const args = ['--import', 'tsx', 'server/main.ts', '--config', path];
    const child = spawn(process.execPath, args, { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      for await (const line of createInterface({ input: child.stdout! })) {
        const log = JSON.parse(line) as Record<string, unknown>;
        if (log.msg !== 'ready') continue;
        const address = expect.stringMatching(/^127\.0\.0\.1:\d+$/) as unknown;
        expect(log).toMatchObject({ tunnel: address, tcp: address, metrics: address });
        expect((await fetch(`http://${String(log.metrics)}/healthz`)).status).toBe(200);
        return;
      }
      expect.fail('it never said that it is ready');
    } finally {
      child.kill('SIGKILL');
    }
  }, 30_000);
});
