import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ensureDevelopmentCertificate } from '../../certs/index.ts';
import type { ForwarderConfigInput } from '../../lb/config.ts';
import type { ClusterFile } from '../../proto/quic-lb/index.ts';
import type { BackendConfigInput } from '../../server/config.ts';
import { Process } from './cluster.ts';
import { SHARED_ADDRESS, type Sprayed } from './netpath/spray.ts';

/** Port of the shared address that clients call. */
export const SHARED_PORT = 4433;
const TUNNEL_PORTS = [5001, 5002];

/** Two backends and two forwarders, as processes, in the namespaces of a `Sprayed` network; both forwarders answer at one address. */
export class SprayedCluster {
  readonly certificate: ReturnType<typeof ensureDevelopmentCertificate>;
  readonly backends: Process[] = [];
  readonly forwarders: Process[] = [];
  readonly #net: Sprayed;
  /** Its files: the cluster's, and one for each process. */
  readonly directory = mkdtempSync(join(tmpdir(), 'parley-sprayed-'));

  constructor(net: Sprayed) {
    this.#net = net;
    this.certificate = ensureDevelopmentCertificate(this.directory);
  }

  /** `backend` gives what a backend's file says beside its place in the cluster; `metrics` is the address of each forwarder's. */
  async start(
    backend: (index: number) => Pick<BackendConfigInput, 'upstream'> & Partial<BackendConfigInput>,
    metrics: string,
  ): Promise<void> {
    const net = this.#net;
    const hex = (octets: number) => randomBytes(octets).toString('hex');
    const cluster: ClusterFile = {
      quicLb: [
        { configRotation: 0, serverIdLength: 8, nonceLength: 8, key: hex(16), firstOctetEncodesLength: true },
      ],
      routingKey: hex(32),
      statelessResetKey: hex(32),
      backends: TUNNEL_PORTS.map((port) => ({
        name: `backend-${port}`,
        serverId: hex(8),
        tunnel: `${net.backendAddress}:${port}`,
      })),
      forwarders: net.forwarders.map(({ tunnelAddress }) => tunnelAddress),
    };
    const path = this.write('cluster.json', cluster);
    for (const [index, { name }] of cluster.backends.entries()) {
      const config: BackendConfigInput = {
        name,
        cluster: path,
        certificate: this.certificate.certificatePath,
        key: this.certificate.keyPath,
        origins: ['*'],
        ...backend(index),
      };
      this.backends.push(new Process('server/main.ts', ['--config', this.write(`${name}.json`, config)]));
    }
    for (const { tunnelAddress } of net.forwarders) {
      const config: ForwarderConfigInput = {
        cluster: path,
        listen: `${SHARED_ADDRESS}:${SHARED_PORT}`,
        tunnel: `${tunnelAddress}:0`,
        metrics,
        probe: { intervalMs: 100 },
      };
      const file = this.write(`${tunnelAddress}.json`, config);
      this.forwarders.push(new Process('lb/main.ts', ['--config', file]));
    }
    await net.backends.within(() => Promise.all(this.backends.map((one) => one.start())));
    for (const index of this.forwarders.keys()) await this.startForwarder(index);
  }

  startForwarder(index: number): Promise<void> {
    return this.#net.forwarders[index]!.end.within(() => this.forwarders[index]!.start());
  }

  async close(): Promise<void> {
    await Promise.all([...this.backends, ...this.forwarders].map((one) => one.kill()));
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Writes a file beside the others; gives its path. */
  write(name: string, content: object): string {
    const path = join(this.directory, name);
    writeFileSync(path, JSON.stringify(content));
    return path;
  }
}
