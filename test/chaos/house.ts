import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createDevelopmentCertificate, ensureDevelopmentCertificate } from '../../certs/index.ts';
import type { ForwarderConfigInput } from '../../lb/config.ts';
import type { ClusterFile } from '../../proto/quic-lb/index.ts';
import type { BackendConfigInput } from '../../server/config.ts';
import { Process } from '../support/cluster.ts';
import { freePort } from '../support/free-port.ts';
import { ageOf } from './machine.ts';

/** Longest time for a worker that was killed, or a process that was started, to be ready, in ms. */
const READY_MS = 60_000;
const LOOK_MS = 20;
/** Certificates that are made before the run, as pages have to know their hashes: the first, and its renewals. */
const CERTIFICATES = 12;
const PROBE_MS = 200;

export const wait = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Fulfils once the condition holds; rejects when it does not in time. */
export async function until(condition: () => boolean | Promise<boolean>, what: string, ms = READY_MS) {
  for (let end = performance.now() + ms; !(await condition()); ) {
    if (performance.now() > end) throw new Error(`waited in vain for ${what}`);
    await wait(LOOK_MS);
  }
}

/** What one process uses. */
export interface Use {
  readonly pid: number;
  readonly residentMiB: number;
  readonly cpuMs: number;
  readonly upMs: number;
}

/** A supervised program: the supervisor as it was started, and its one worker. */
export class Program {
  readonly name: string;
  readonly port: number;
  readonly metricsPort: number;
  readonly #process: Process;
  #runs = false;

  constructor(name: string, process: Process, port: number, metricsPort: number) {
    this.name = name;
    this.#process = process;
    this.port = port;
    this.metricsPort = metricsPort;
  }

  get log(): readonly string[] {
    return this.#process.log;
  }

  get #readyLines(): string[] {
    return this.log.filter((line) => line.includes('"worker is ready"'));
  }

  /** Process ID of the worker that was ready last. */
  get worker(): number {
    const line = this.#readyLines.at(-1);
    if (line === undefined) throw new Error(`${this.name} has no worker`);
    return (JSON.parse(line) as { pid: number }).pid;
  }

  async start(): Promise<void> {
    const before = this.#readyLines.length;
    await this.#process.start();
    await until(() => this.#readyLines.length > before, `a worker of ${this.name}`);
    this.#runs = true;
  }

  /** The worker dies at once, and the supervisor starts another. */
  async killWorker(): Promise<void> {
    const before = this.#readyLines.length;
    process.kill(this.worker, 'SIGKILL');
    await until(() => this.#readyLines.length > before, `another worker of ${this.name}`);
  }

  signalWorker(signal: NodeJS.Signals): void {
    process.kill(this.worker, signal);
  }

  reload(): void {
    const { pid } = this.#process;
    // A program that is only starting has no handler for it yet, and reads the newest files anyway.
    if (pid !== undefined && this.#runs) process.kill(pid, 'SIGHUP');
  }

  /** By this signal; fulfils when all of it has ended. */
  end(signal: NodeJS.Signals): Promise<void> {
    this.#runs = false;
    return this.#process.kill(signal);
  }

  async metrics(): Promise<string> {
    return (await fetch(`http://127.0.0.1:${this.metricsPort}/metrics`)).text();
  }

  get #residentMiB(): number {
    const [, kib] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${this.worker}/status`, 'utf8')) ?? [];
    return Number(kib) / 1024;
  }

  /** What the worker uses of this machine: memory in MiB, and CPU time since it was started so many ms ago. */
  get uses(): Use {
    return { pid: this.worker, residentMiB: this.#residentMiB, ...ageOf(this.worker) };
  }
}

export interface HouseOptions {
  readonly backends: number;
  readonly forwarders: number;
}

/** Backends and forwarders as an operator runs them, and the files that they follow. */
export class House {
  readonly directory = mkdtempSync(join(tmpdir(), 'parley-chaos-'));
  readonly backends: Program[] = [];
  readonly forwarders: Program[] = [];
  /** Where upstreams get their certificate, which no renewal touches. */
  readonly upstreamCertificate: { readonly certificatePath: string; readonly keyPath: string };
  readonly #certificates = Array.from({ length: CERTIFICATES }, () =>
    createDevelopmentCertificate({ now: Date.now() }),
  );
  readonly #certificate: { readonly certificatePath: string; readonly keyPath: string };
  #presented = 0;
  #files = 0;

  readonly #drainSeconds: number;

  /** `drainSeconds`: how long calls of a backend that drains get to move. */
  constructor(drainSeconds: number) {
    this.#drainSeconds = drainSeconds;
    const other = join(this.directory, 'upstream');
    mkdirSync(other);
    this.upstreamCertificate = ensureDevelopmentCertificate(other);
    const certificatePath = join(this.directory, 'cert.pem');
    this.#certificate = { certificatePath, keyPath: join(this.directory, 'key.pem') };
    this.#writeCertificate();
  }

  /** Of all certificates that there will be. */
  get certificateHashes(): string[] {
    return this.#certificates.map(({ sha256Hex }) => sha256Hex);
  }

  get clusterPath(): string {
    return join(this.directory, 'cluster.json');
  }

  get #programs(): Program[] {
    return [...this.backends, ...this.forwarders];
  }

  async start({ backends, forwarders }: HouseOptions, upstreamPort: number): Promise<void> {
    const hex = (octets: number) => randomBytes(octets).toString('hex');
    const entries: ClusterFile['backends'] = [];
    for (let i = 0; i < backends; i++)
      entries.push({
        name: `backend-${i + 1}`,
        serverId: hex(8),
        tunnel: `127.0.0.1:${await freePort()}`,
        workers: 1,
      });
    const cluster: ClusterFile = {
      quicLb: [
        {
          configRotation: 0,
          serverIdLength: 8,
          nonceLength: 8,
          key: hex(16),
          firstOctetEncodesLength: true,
        },
      ],
      routingKey: hex(32),
      statelessResetKey: hex(32),
      backends: entries,
      forwarders: ['127.0.0.1'],
      callHost: 'localhost',
    };
    this.#write('cluster.json', JSON.stringify(cluster));
    for (const { name } of entries) this.backends.push(await this.#backend(name, upstreamPort));
    for (let i = 0; i < forwarders; i++) this.forwarders.push(await this.newForwarder());
    await Promise.all(this.#programs.map((program) => program.start()));
  }

  async #backend(name: string, upstreamPort: number): Promise<Program> {
    const metricsPort = await freePort();
    const config: BackendConfigInput = {
      name,
      cluster: this.clusterPath,
      certificate: this.#certificate.certificatePath,
      key: this.#certificate.keyPath,
      upstream: {
        kind: 'local',
        baseUrl: `https://localhost:${upstreamPort}/v1`,
        ca: this.upstreamCertificate.certificatePath,
      },
      origins: ['*'],
      metrics: `127.0.0.1:${metricsPort}`,
      drainSeconds: this.#drainSeconds,
      // All callers have one address here.
      sessionsPerAddress: 5000,
      maxSessions: 5000,
    };
    const path = this.#write(`${name}.json`, JSON.stringify(config));
    const process = new Process('server/main.ts', ['--config', path, '--workers', '1']);
    return new Program(name, process, 0, metricsPort);
  }

  /** One more forwarder, not started yet. */
  async newForwarder(): Promise<Program> {
    const name = `forwarder-${this.#files++}`;
    const port = await freePort();
    const metricsPort = await freePort();
    const config: ForwarderConfigInput = {
      cluster: this.clusterPath,
      listen: [`127.0.0.1:${port}`],
      metrics: `127.0.0.1:${metricsPort}`,
      probe: { intervalMs: PROBE_MS },
    };
    const path = this.#write(`${name}.json`, JSON.stringify(config));
    const process = new Process('lb/main.ts', ['--config', path, '--workers', '1']);
    return new Program(name, process, port, metricsPort);
  }

  /** The cluster file as it stands. */
  get cluster(): Record<string, unknown> {
    return JSON.parse(readFileSync(this.clusterPath, 'utf8')) as Record<string, unknown>;
  }

  /** Gives every process the next cluster file, and waits until each has read it, or was started since. */
  async giveCluster(file: Record<string, unknown>): Promise<void> {
    const seen = /cluster file (?:taken up|read again)|"worker is ready"/;
    const programs = this.#programs;
    const count = ({ log }: Program) => log.filter((line) => seen.test(line)).length;
    const before = programs.map(count);
    this.#write('cluster.json', JSON.stringify(file));
    for (const program of programs) program.reload();
    // One that is gone for good in the meantime has nothing to read.
    const has = (program: Program, i: number) =>
      count(program) > before[i]! || !this.#programs.includes(program);
    await until(() => programs.every(has), 'every process to read the cluster file');
  }

  /** Backends present the next certificate from now on; false when there is none left. */
  renewCertificate(): boolean {
    if (this.#presented + 1 >= this.#certificates.length) return false;
    this.#presented += 1;
    this.#writeCertificate();
    for (const backend of this.backends) backend.reload();
    return true;
  }

  #writeCertificate(): void {
    const { certificatePem, keyPem } = this.#certificates[this.#presented]!;
    this.#write('key.pem', keyPem);
    this.#write('cert.pem', certificatePem);
  }

  #write(name: string, content: string): string {
    const path = join(this.directory, name);
    writeFileSync(`${path}.new`, content, { mode: 0o600 });
    renameSync(`${path}.new`, path);
    return path;
  }

  async close(): Promise<void> {
    for (const program of this.#programs)
      try {
        program.signalWorker('SIGCONT');
      } catch {
        // It has none.
      }
    await Promise.all(this.#programs.map((program) => program.end('SIGKILL')));
    rmSync(this.directory, { recursive: true, force: true });
  }
}
