import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import pino from 'pino';
import { ensureDevelopmentCertificate } from '../../certs/index.ts';
import type { ForwarderConfigInput } from '../../lb/config.ts';
import type { ClusterFile } from '../../proto/quic-lb/index.ts';
import type { BackendConfigInput } from '../../server/config.ts';
import {
  type RealtimeService,
  type ServiceObserver,
  startRealtimeService,
} from '../../server/realtime/local/index.ts';
import { holdUdpSocket } from '../../server/start/held-socket.ts';
import { compiledProgram } from './compiled.ts';
import { freePort } from './free-port.ts';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');
const READY_TIMEOUT_MS = 50_000;

/** A process of the system under test, as an operator would start it. */
export class Process {
  readonly #args: readonly string[];
  readonly #descriptors: readonly number[];
  #child: ChildProcess | undefined;
  readonly log: string[] = [];

  /** `descriptors` are sockets that it is given, and that outlive it. */
  constructor(
    script: string,
    args: readonly string[],
    descriptors: readonly number[] = [],
    nodeFlags: readonly string[] = [],
  ) {
    this.#descriptors = descriptors;
    const compiled = compiledProgram(script);
    const program = compiled === undefined ? ['--import', 'tsx', join(ROOT, script)] : [compiled];
    this.#args = [...nodeFlags, ...program, ...args];
  }

  /** Fulfils once it logged that it is ready. */
  async start(): Promise<void> {
    const count = this.#descriptors.length;
    const child = spawn(process.execPath, this.#args, {
      stdio: ['ignore', 'pipe', 'pipe', ...this.#descriptors],
      env: count > 0 ? { ...process.env, LISTEN_FDS: String(count) } : process.env,
      cwd: ROOT,
    });
    this.#child = child;
    const killWithUs = () => child.kill('SIGKILL');
    process.once('exit', killWithUs);
    child.once('exit', () => process.off('exit', killWithUs));
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`not ready in time:\n${this.log.join('\n')}`)),
        READY_TIMEOUT_MS,
      );
      const onLine = (line: string) => {
        this.log.push(line);
        if (line.includes('"msg":"ready"')) {
          clearTimeout(timer);
          resolve();
        }
      };
      createInterface({ input: child.stdout! }).on('line', onLine);
      createInterface({ input: child.stderr! }).on('line', onLine);
      child.once('exit', (code, signal) => {
        clearTimeout(timer);
        reject(new Error(`ended with ${signal ?? code}:\n${this.log.join('\n')}`));
      });
    });
  }

  /** Its process ID while it runs. */
  get pid(): number | undefined {
    const child = this.#child;
    return child?.exitCode === null && child.signalCode === null ? child.pid : undefined;
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await exited;
  }
}

export interface ClusterOptions {
  /** How long backends let calls end after SIGTERM. */
  readonly drainSeconds?: number;
  /** How often the forwarder asks after backends, in ms: one whose port is closed is dead after two of these. */
  readonly probeIntervalMs?: number;
  readonly backends?: number;
  /** Processes of each backend and of the forwarder, below a supervisor. Absent: one, and no supervisor. */
  readonly workers?: number;
  /** Where the forwarder listens, instead of 127.0.0.1. */
  readonly forwarderHost?: string | undefined;
  /** The forwarder's socket is held for it, as `npm start` and systemd do, so that it outlives it. */
  readonly holdSocket?: boolean;
  /** Backends have a public port of their own, and ask clients to go there after the handshake. */
  readonly preferredAddress?: boolean;
  readonly origins?: readonly string[];
  readonly qlogDirectory?: string;
  /** Which tokens backends take. Absent: everybody may call. */
  readonly auth?: BackendConfigInput['auth'];
  /** Each backend has a name under this one, and the forwarder listens on ::1 too. */
  readonly callHost?: string;
  /** How many times faster than speech the local service makes answers. */
  readonly answerSpeed?: number;
  /** Sees what goes in and out of the local realtime service. */
  readonly observer?: ServiceObserver;
  /** Flags of Node for backends, such as those of its profiler. */
  readonly backendFlags?: readonly string[];
  /** When newcomers must prove their address. */
  readonly retry?: BackendConfigInput['retry'];
  /** More settings of each backend. */
  readonly settings?: Partial<BackendConfigInput>;
  /** Of each backend; absent ones are those of the configuration. */
  readonly limits?: Pick<
    BackendConfigInput,
    'maxSessions' | 'maxConnections' | 'connectionsPerAddress' | 'firstRequestSeconds' | 'idleSeconds'
  >;
}

/** Forwarder and backends as processes of their own, with the local realtime service in this one, so that it can be asked. */
export interface TestCluster {
  readonly forwarderPort: number;
  readonly metricsPort: number;
  readonly certificateHash: string;
  /** PEM, for clients that are to trust it. */
  readonly certificatePath: string;
  readonly directory: string;
  readonly realtime: RealtimeService;
  readonly cluster: ClusterFile;
  readonly forwarder: Process;
  readonly backends: readonly Process[];
  readonly backendMetricsPorts: readonly number[];
  /** The forwarder's metrics in Prometheus' text form. */
  forwarderMetrics(): Promise<string>;
  close(): Promise<void>;
}

interface Files {
  readonly cluster: ClusterFile;
  readonly clusterPath: string;
  readonly backendPaths: readonly string[];
  readonly backendMetricsPorts: readonly number[];
}

async function writeFiles(
  directory: string,
  certificate: { certificatePath: string; keyPath: string },
  realtimePort: number,
  options: ClusterOptions,
): Promise<Files> {
  const { origins = ['*'], drainSeconds = 1, backends: count = 2, retry } = options;
  const hex = (octets: number) => randomBytes(octets).toString('hex');
  const backends: ClusterFile['backends'] = [];
  const backendMetricsPorts: number[] = [];
  for (let i = 0; i < count; i++) {
    backends.push({
      name: `backend-${i + 1}`,
      serverId: hex(8),
      tunnel: `127.0.0.1:${await freePort()}`,
      tcp: `127.0.0.1:${await freePort()}`,
      ...(options.workers !== undefined && { workers: options.workers }),
    });
    backendMetricsPorts.push(await freePort());
  }
  const cluster: ClusterFile = {
    quicLb: [
      { configRotation: 0, serverIdLength: 8, nonceLength: 8, key: hex(16), firstOctetEncodesLength: true },
    ],
    routingKey: hex(32),
    statelessResetKey: hex(32),
    backends,
    forwarders: ['127.0.0.1', ...(options.forwarderHost === undefined ? [] : [options.forwarderHost])],
    ...(options.callHost !== undefined && { callHost: options.callHost }),
  };
  const clusterPath = join(directory, 'cluster.json');
  writeFileSync(clusterPath, JSON.stringify(cluster));
  const publicPorts = await Promise.all(backends.map(() => freePort()));
  const backendPaths = backends.map(({ name }, i) => {
    const own = `127.0.0.1:${publicPorts[i]}`;
    const config: BackendConfigInput = {
      name,
      cluster: clusterPath,
      certificate: certificate.certificatePath,
      key: certificate.keyPath,
      upstream: {
        kind: 'local',
        baseUrl: `https://localhost:${realtimePort}/v1`,
        ca: certificate.certificatePath,
      },
      origins: [...origins],
      echoPath: '/echo',
      metrics: `127.0.0.1:${backendMetricsPorts[i]}`,
      ...(options.preferredAddress && { public: own, preferredAddress: own }),
      ...(options.qlogDirectory !== undefined && { qlogDirectory: options.qlogDirectory }),
      drainSeconds,
      retry,
      auth: options.auth,
      ...options.limits,
      ...options.settings,
      logLevel: 'debug',
    };
    const path = join(directory, `${name}.json`);
    writeFileSync(path, JSON.stringify(config));
    return path;
  });
  return { cluster, clusterPath, backendPaths, backendMetricsPorts };
}

export async function startCluster(options: ClusterOptions = {}): Promise<TestCluster> {
  const directory = mkdtempSync(join(tmpdir(), 'parley-'));
  const certificate = ensureDevelopmentCertificate(directory);
  const realtime = await startRealtimeService({
    port: 0,
    host: '127.0.0.1',
    certificate: readFileSync(certificate.certificatePath, 'utf8'),
    key: readFileSync(certificate.keyPath, 'utf8'),
    logger: pino({ level: 'silent' }),
    ...(options.observer !== undefined && { observer: options.observer }),
    ...(options.answerSpeed !== undefined && { speed: options.answerSpeed }),
  });
  const files = await writeFiles(directory, certificate, realtime.port, options);
  const forwarderPort = await freePort();
  const metricsPort = await freePort();
  const workers = options.workers === undefined ? [] : ['--workers', String(options.workers)];
  const backends = files.backendPaths.map(
    (path) => new Process('server/main.ts', ['--config', path, ...workers], [], options.backendFlags),
  );
  const forwarderPath = join(directory, 'forwarder.json');
  const forwarderConfig: ForwarderConfigInput = {
    cluster: files.clusterPath,
    listen: [
      `${options.holdSocket ? '0.0.0.0' : (options.forwarderHost ?? '127.0.0.1')}:${forwarderPort}`,
      ...(options.callHost === undefined ? [] : [`[::1]:${forwarderPort}`]),
    ],
    metrics: `127.0.0.1:${metricsPort}`,
    probe: { intervalMs: options.probeIntervalMs ?? 500 },
  };
  writeFileSync(forwarderPath, JSON.stringify(forwarderConfig));
  const held = options.holdSocket ? [holdUdpSocket(forwarderPort)] : [];
  const descriptors = held.filter((descriptor) => descriptor !== undefined);
  if (descriptors.length < held.length) throw new Error('no socket could be held for the forwarder');
  const forwarder = new Process('lb/main.ts', ['--config', forwarderPath, ...workers], descriptors);
  const close = async () => {
    await Promise.all([forwarder, ...backends].map((part) => part.kill()));
    for (const descriptor of descriptors) closeSync(descriptor);
    await realtime.close();
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    await Promise.all(backends.map((backend) => backend.start()));
    await forwarder.start();
  } catch (error) {
    await close();
    throw error;
  }
  return {
    forwarderPort,
    metricsPort,
    certificateHash: certificate.sha256Hex,
    certificatePath: certificate.certificatePath,
    directory,
    realtime,
    cluster: files.cluster,
    forwarder,
    backends,
    backendMetricsPorts: files.backendMetricsPorts,
    forwarderMetrics: async () => (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text(),
    close,
  };
}
