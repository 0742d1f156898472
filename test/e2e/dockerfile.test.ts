import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ensureDevelopmentCertificate } from '../../certs/index.ts';
import { freePort } from '../support/free-port.ts';
import { buildByHand, type HandmadeImage } from '../support/image-by-hand.ts';
import { INSTALL_TIMEOUT_MS } from '../support/installed-package.ts';
import { NodeClient } from '../support/node-client.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');

let image: HandmadeImage;
const directory = mkdtempSync(join(tmpdir(), 'parley-etc-'));
const children: ChildProcess[] = [];

beforeAll(async () => {
  image = await buildByHand(join(ROOT, 'deploy/docker/Dockerfile'), ROOT);
}, 2 * INSTALL_TIMEOUT_MS);
afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
  image?.remove();
  rmSync(directory, { recursive: true, force: true });
});

/** `docker run parley …`, as the image's user; without arguments its CMD. */
function dockerRun(args: readonly string[] = image.command): ChildProcess {
  const [uid, gid] = image.user.split(':');
  const [program, ...more] = [...image.entrypoint, ...args];
  const env = { PATH: process.env.PATH, ...image.environment };
  const who = ['--reuid', uid!, '--regid', gid!, '--clear-groups'];
  const child = spawn('setpriv', [...who, program!, ...more], { cwd: image.workdir, env });
  children.push(child);
  return child;
}

/** Fulfils once the program says that it is ready; rejects with what it said when it ends. */
function ready(child: ChildProcess): Promise<void> {
  const said: string[] = [];
  return new Promise((resolve, reject) => {
    for (const stream of [child.stdout!, child.stderr!])
      createInterface({ input: stream }).on('line', (line) => {
        said.push(line);
        if (line.includes('"msg":"ready"')) resolve();
      });
    child.once('exit', (code) => reject(new Error(`ended with ${code}:\n${said.join('\n')}`)));
  });
}

describe('the Dockerfile, its lines done by hand', () => {
  it('makes an image whose command prints its usage, as a user that is not root', async () => {
    const child = dockerRun();
    const [said, code] = await Promise.all([
      text(child.stdout!),
      new Promise((resolve) => child.once('exit', resolve)),
    ]);
    expect(code).toBe(0);
    expect(said).toContain('usage: parley-server --config');
    expect(image.user).toBe('1000:1000');
  });

  it('has forwarder and backend that take a call, and end by the image’s stop signal', async () => {
    chmodSync(directory, 0o755);
    const { certificatePath, keyPath, sha256Hex } = ensureDevelopmentCertificate(directory);
    const write = (name: string, content: object) => {
      writeFileSync(join(directory, name), JSON.stringify(content), { mode: 0o644 });
      return join(directory, name);
    };
    chmodSync(keyPath, 0o644);
    const hex = (octets: number) => randomBytes(octets).toString('hex');
    const port = await freePort();
    const cluster = write('cluster.json', {
      quicLb: [{ configRotation: 0, serverIdLength: 8, nonceLength: 8, key: hex(16) }],
      routingKey: hex(32),
      statelessResetKey: hex(32),
      backends: [{ name: 'b', serverId: hex(8), tunnel: `127.0.0.1:${await freePort()}` }],
      forwarders: ['127.0.0.1'],
    });
    const config = write('backend.json', {
      name: 'b',
      cluster,
      certificate: certificatePath,
      key: keyPath,
      upstream: { kind: 'local', baseUrl: 'https://localhost:1/v1', ca: certificatePath },
      origins: ['*'],
      echoPath: '/echo',
      drainSeconds: 1,
    });
    const backend = dockerRun(['dist/server/main.js', '--config', config]);
    await ready(backend);
    const forwarder = dockerRun(['dist/lb/main.js', '--cluster', cluster, '--listen', `127.0.0.1:${port}`]);
    await ready(forwarder);
    const client = await NodeClient.dial(port, sha256Hex);
    client.webTransport.connectSession({ authority: 'localhost', path: '/echo' });
    client.wake();
    await client.event('sessionEstablished');
    await client.close();
    for (const child of [forwarder, backend]) {
      const code = new Promise((resolve) => child.once('exit', resolve));
      child.kill(image.stopSignal as NodeJS.Signals);
      expect(await code).toBe(0);
    }
  });
});
