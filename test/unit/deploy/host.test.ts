import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseForwarderConfig } from '../../../lb/config.ts';
import { parseClusterFile } from '../../../proto/quic-lb/index.ts';
import { formatAddress } from '../../../proto/wire/index.ts';
import { parseBackendConfig } from '../../../server/config.ts';
import { ROOT } from '../../support/doc-tables.ts';
import { DEPLOY } from './manifests.ts';

const text = (...path: string[]) => readFileSync(join(DEPLOY, ...path), 'utf8');
const json = (...path: string[]) => JSON.parse(text(...path)) as unknown;
const has = (command: string) => spawnSync('sh', ['-c', `command -v ${command}`]).status === 0;

/** Values of a key of a unit, in order. */
const values = (unit: string, key: string) =>
  [...text('systemd', unit).matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value]) => value!);

describe('the systemd units', () => {
  const forwarder = parseForwarderConfig(json('systemd', 'forwarder.json'));
  const backend = parseBackendConfig(json('systemd', 'backend.json'), 'backend.json');

  it('hold a socket for each address that the forwarder listens on, in order', () => {
    if (!forwarder.ok) throw new Error(forwarder.faults.join());
    expect(values('parley-forwarder.socket', 'ListenDatagram')).toEqual(
      forwarder.value.listen.map(formatAddress),
    );
  });

  it('leave a backend the time to drain, and have the supervisor tell its workers', () => {
    expect(Number(values('parley-backend.service', 'TimeoutStopSec')[0])).toBeGreaterThan(
      backend.drainSeconds + 5,
    );
    for (const unit of ['parley-backend.service', 'parley-forwarder.service']) {
      expect(values(unit, 'KillMode')).toEqual(['mixed']);
      expect(values(unit, 'Restart')).toEqual(['always']);
      // A JIT maps memory that is written and then run.
      expect(values(unit, 'MemoryDenyWriteExecute')).toEqual([]);
    }
  });

  it('go with a cluster file that is sound', () => {
    const parsed = parseClusterFile(text('systemd', 'cluster.json'), (place) => ({
      ok: true,
      text: 'ab'.repeat('file' in place && place.file === 'keys/cid' ? 16 : 32),
    }));
    expect(parsed.ok && parsed.value.backends.map(({ name }) => name)).toContain(`${backend.name}/3`);
  });

  it.skipIf(!has('systemd-analyze'))(
    'are sound to systemd itself',
    () => {
      const units = ['parley-forwarder.socket', 'parley-forwarder.service', 'parley-backend.service'];
      const { stderr } = spawnSync(
        'systemd-analyze',
        ['verify', ...units.map((unit) => join(DEPLOY, 'systemd', unit))],
        { encoding: 'utf8' },
      );
      expect(
        stderr.split('\n').filter((line) => /parley.*(Unknown|Failed to parse|Invalid|bad)/i.test(line)),
      ).toEqual([]);
    },
    60_000,
  );
});

describe('the Dockerfile', () => {
  const lines = text('docker', 'Dockerfile').split('\n');
  const last = lines.slice(lines.findLastIndex((line) => line.startsWith('FROM ')));

  it('runs as a user that is not root, and its last stage runs no command and so has no compiler', () => {
    expect(last.find((line) => line.startsWith('USER '))).toBe('USER 1000:1000');
    expect(last.filter((line) => /^RUN |^ADD /.test(line))).toEqual([]);
    expect(last[0]).toMatch(/^FROM node:\d+-\w+-slim$/);
  });

  it('copies what there is, and installs without scripts', () => {
    for (const line of lines.filter((each) => /^COPY (?!--from)/.test(each)))
      for (const source of line.split(' ').slice(1, -1))
        expect(existsSync(join(ROOT, source)), source).toBe(true);
    expect(lines.some((line) => line.includes('npm ci --ignore-scripts'))).toBe(true);
    const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      scripts: Record<string, string>;
    };
    for (const [, script] of text('docker', 'Dockerfile').matchAll(/npm run (\w+)/g))
      expect(scripts).toHaveProperty(script!);
  });
});

describe('the rule of nftables', () => {
  const inNamespace = has('nft') && has('python3') && spawnSync('unshare', ['-n', 'true']).status === 0;

  it.skipIf(!inNamespace)(
    'holds back "port unreachable" of the forwarder’s port, and of no other',
    () => {
      const script = `
import socket, subprocess
def ask(host, port):
    s = socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(0.5)
    s.connect((host, port))
    s.send(b'x')
    try: s.recv(1)
    except ConnectionRefusedError: return 'refused'
    except TimeoutError: return 'silent'
asked = lambda: [ask(host, port) for host in ('127.0.0.1', '::1') for port in (4433, 4434)]
subprocess.check_call(['ip', 'link', 'set', 'lo', 'up'])
before = asked()
subprocess.check_call(['nft', '-f', '${join(DEPLOY, 'nftables/parley.nft')}'])
print(*before, *asked())`;
      const said = execFileSync('unshare', ['-n', 'python3', '-c', script], { encoding: 'utf8' }).trim();
      expect(said).toBe('refused refused refused refused silent refused silent refused');
    },
    60_000,
  );
});
