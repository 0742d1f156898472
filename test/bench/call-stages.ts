import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { ensureDevelopmentCertificate, type StoredCertificate } from '../../certs/index.ts';
import type { ClusterFile } from '../../proto/quic-lb/index.ts';
import type { MicrophoneCodec } from '../../proto/voice/index.ts';
import { parseAddress, toHex } from '../../proto/wire/index.ts';
import type { BackendConfigInput } from '../../server/config.ts';
import { freePort } from '../support/free-port.ts';
import { Child } from './child.ts';
import { ROUTING_KEY } from './tunnel.ts';

export const VOICE_PATH = '/voice';
export const ECHO_PATH = '/echo';

/**
 * What carries the calls: this backend, in PCM or in Opus both ways, or in PCM over TCP; a relay of WebSockets that reads the events, or
 * passes them on as they come; or a server of libwebrtc for Node, as people build it.
 */
export type Carrier =
  | 'Parley'
  | 'Parley, Opus'
  | 'Parley, other'
  | 'Parley, HTTP/2'
  | 'ws relay'
  | 'ws relay, no parsing'
  | 'WebRTC';

/** Samples of a frame at 48 kHz. */
const RTC_FRAME_SAMPLES = 960;

/** Callers, what carries them and their upstream, each in a process of its own. */
export interface Stage {
  readonly upstream: Child;
  /** What is measured. */
  readonly carrier: Child;
  readonly load: Child;
  /** Opens so many calls more. */
  open(count: number): Promise<void>;
  /** All calls speak, one frame each 20 ms. */
  speak(): Promise<void>;
  hush(): Promise<void>;
  /** Frames that the upstream was given since this was last asked, but no caller's microphone said: libwebrtc makes up what does not come in time. */
  madeUp(): Promise<number>;
  close(): Promise<void>;
}

/** What a kind of carrier is run by, and its callers. */
function scriptsOf(kind: Carrier, other: string): readonly [carrier: string, load: string] {
  switch (kind) {
    case 'Parley':
    case 'Parley, Opus':
      return ['./calls-backend.ts', './calls-load.ts'];
    case 'Parley, other':
      return [resolve(other, 'test/bench/calls-backend.ts'), './calls-load.ts'];
    case 'Parley, HTTP/2':
      return ['./calls-backend.ts', './calls-tcp-load.ts'];
    case 'ws relay':
    case 'ws relay, no parsing':
      return ['./calls-relay.ts', './calls-relay-load.ts'];
    case 'WebRTC':
      return ['./sides/webrtc-relay.ts', './calls-webrtc-load.ts'];
  }
}

async function writeConfig(
  directory: string,
  files: { certificatePath: string; keyPath: string },
  upstreamPort: number,
  tcp: string | undefined,
): Promise<BackendConfigInput> {
  const hex = (octets: number) => randomBytes(octets).toString('hex');
  const cluster: ClusterFile = {
    quicLb: [
      { configRotation: 0, serverIdLength: 8, nonceLength: 8, key: hex(16), firstOctetEncodesLength: true },
    ],
    routingKey: toHex(ROUTING_KEY),
    statelessResetKey: hex(32),
    backends: [{ name: 'bench', serverId: hex(8), tunnel: `127.0.0.1:${await freePort()}` }],
    // Callers over TCP come by themselves: from a forwarder's address a PROXY header is due.
    forwarders: [tcp === undefined ? '127.0.0.1' : '127.0.0.2'],
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
    // The library's client names its host as origin.
    ...(tcp !== undefined && { tcp, origins: ['*'] }),
    sessionsPerAddress: 10_000,
    maxSessions: 10_000,
    logLevel: 'silent',
  };
}

/**
 * @param path where sessions are opened, of Parley.
 * @param other another working tree of Parley, which "Parley, other" runs the backend of.
 * @param flags more options of Node for what is measured.
 */
export async function setStage(
  kind: Carrier,
  path = VOICE_PATH,
  other = '',
  flags: readonly string[] = [],
): Promise<Stage> {
  const directory = mkdtempSync(join(tmpdir(), 'parley-bench-'));
  const files = ensureDevelopmentCertificate(directory);
  const { certificatePath: certificate, keyPath: key } = files;
  const isParley = kind.startsWith('Parley');
  const [script, loadScript] = scriptsOf(kind, other);
  const upstream = new Child('./calls-upstream.ts');
  // A relay as people run it has ws alone; Parley brings the native half that ws asks for.
  const environment = isParley ? {} : { WS_NO_BUFFER_UTIL: '1' };
  const carrier = new Child(script, ['--expose-gc', ...flags], { environment });
  const load = new Child(loadScript);
  const children = { upstream, carrier, load };
  const close = async () => {
    await Promise.all([upstream, carrier, load].map((child) => child.stop()));
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    const upstreamPort = await upstream.ask<number>({ op: 'start', certificate, key });
    const opening = isParley
      ? await startParley(kind, path, children, directory, files, upstreamPort)
      : await startRelay(kind, carrier, { certificate, key, port: upstreamPort });
    return {
      ...children,
      open: (count) => load.ask({ op: 'open', count, ...opening }),
      speak: () => load.ask({ op: 'speak' }),
      hush: async () => {
        await load.ask({ op: 'hush' });
        if (kind === 'WebRTC') await carrier.ask({ op: 'hang up' });
      },
      madeUp: kind === 'WebRTC' ? countMadeUp(carrier) : async () => 0,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Gives what the load needs to know for each call that it opens. */
async function startParley(
  kind: Carrier,
  path: string,
  { carrier, load }: Pick<Stage, 'carrier' | 'load'>,
  directory: string,
  files: StoredCertificate,
  upstreamPort: number,
): Promise<object> {
  const tcp = kind === 'Parley, HTTP/2' ? `127.0.0.1:${await freePort()}` : undefined;
  const config = await writeConfig(directory, files, upstreamPort, tcp);
  const tunnel = await carrier.ask<string>({ op: 'start', config });
  if (tcp !== undefined) return { url: `https://${tcp}${path}`, certificateHash: files.sha256Hex };
  const codec: MicrophoneCodec = kind === 'Parley, Opus' ? 'opus' : 'pcm16';
  await load.ask({ op: 'start', tunnels: [parseAddress(tunnel)], path, codec });
  return {};
}

async function startRelay(
  kind: Carrier,
  carrier: Child,
  upstream: { readonly certificate: string; readonly key: string; readonly port: number },
): Promise<object> {
  const port = await carrier.ask<number>({ op: 'start', ...upstream, parse: kind === 'ws relay' });
  return { port, certificate: upstream.certificate };
}

function countMadeUp(carrier: Child): () => Promise<number> {
  let before = 0;
  return async () => {
    const { concealed } = await carrier.ask<{ readonly concealed: number }>({ op: 'stats' });
    const frames = (concealed - before) / RTC_FRAME_SAMPLES;
    before = concealed;
    return frames;
  };
}
