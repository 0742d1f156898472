import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { ensureDevelopmentCertificate } from '../../certs/index.ts';
import type { ClusterFile } from '../../proto/quic-lb/index.ts';
import type { MicrophoneCodec } from '../../proto/voice/index.ts';
import { parseAddress, toHex } from '../../proto/wire/index.ts';
import type { BackendConfigInput } from '../../server/config.ts';
import { freeUdpPort } from '../support/cluster.ts';
import { Child } from './child.ts';
import { ROUTING_KEY } from './tunnel.ts';

export const VOICE_PATH = '/voice';
export const ECHO_PATH = '/echo';

/** What carries the calls: this backend, in PCM or in Opus both ways, or a relay of WebSockets that reads the events, or passes them on as they come. */
export type Carrier = 'Parley' | 'Parley, Opus' | 'Parley, other' | 'ws relay' | 'ws relay, no parsing';

/** Callers, what carries them and their upstream, each in a process of its own. */
export interface Stage {
  readonly upstream: Child;
  /** What is measured. */
  readonly carrier: Child;
  readonly load: Child;
  /** Opens so many calls more. */
  open(count: number): Promise<void>;
  close(): Promise<void>;
}

async function writeConfig(
  directory: string,
  files: { certificatePath: string; keyPath: string },
  upstreamPort: number,
): Promise<BackendConfigInput> {
  const hex = (octets: number) => randomBytes(octets).toString('hex');
  const cluster: ClusterFile = {
    quicLb: [
      { configRotation: 0, serverIdLength: 8, nonceLength: 8, key: hex(16), firstOctetEncodesLength: true },
    ],
    routingKey: toHex(ROUTING_KEY),
    statelessResetKey: hex(32),
    backends: [{ name: 'bench', serverId: hex(8), tunnel: `127.0.0.1:${await freeUdpPort()}` }],
    forwarders: ['127.0.0.1'],
  };
  const path = join(directory, 'cluster.json');
  writeFileSync(path, JSON.stringify(cluster));
  return {
    name: 'bench',
    cluster: path,
    certificate: files.certificatePath,
    key: files.keyPath,
    upstream: {
      kind: 'local',
      baseUrl: `https://localhost:${upstreamPort}/v1`,
      ca: files.certificatePath,
    },
    voicePath: VOICE_PATH,
    echoPath: ECHO_PATH,
    sessionsPerAddress: 10_000,
    maxSessions: 10_000,
    logLevel: 'silent',
  };
}

/**
 * @param path where sessions are opened, of Parley.
 * @param other another working tree of Parley, which "Parley, other" runs the backend of.
 */
export async function setStage(kind: Carrier, path = VOICE_PATH, other = ''): Promise<Stage> {
  const directory = mkdtempSync(join(tmpdir(), 'parley-bench-'));
  const files = ensureDevelopmentCertificate(directory);
  const { certificatePath: certificate, keyPath: key } = files;
  const isParley = kind.startsWith('Parley');
  const codec: MicrophoneCodec = kind === 'Parley, Opus' ? 'opus' : 'pcm16';
  const upstream = new Child('./calls-upstream.ts');
  let script = isParley ? './calls-backend.ts' : './calls-relay.ts';
  if (kind === 'Parley, other') script = resolve(other, 'test/bench/calls-backend.ts');
  // A relay as people run it has ws alone; Parley brings the native half that ws asks for.
  const environment = isParley ? {} : { WS_NO_BUFFER_UTIL: '1' };
  const carrier = new Child(script, ['--expose-gc'], { environment });
  const load = new Child(isParley ? './calls-load.ts' : './calls-relay-load.ts');
  const close = async () => {
    await Promise.all([upstream, carrier, load].map((child) => child.stop()));
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    const upstreamPort = await upstream.ask<number>({ op: 'start', certificate, key });
    if (isParley) {
      const config = await writeConfig(directory, files, upstreamPort);
      const tunnel = await carrier.ask<string>({ op: 'start', config });
      await load.ask({ op: 'start', tunnels: [parseAddress(tunnel)], path, codec });
      const open = (count: number) => load.ask<void>({ op: 'open', count });
      return { upstream, carrier, load, open, close };
    }
    const parse = kind === 'ws relay';
    const port = await carrier.ask<number>({ op: 'start', certificate, key, port: upstreamPort, parse });
    const open = (count: number) => load.ask<void>({ op: 'open', count, port, certificate });
    return { upstream, carrier, load, open, close };
  } catch (error) {
    await close();
    throw error;
  }
}
