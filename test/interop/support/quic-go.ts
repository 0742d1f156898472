import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { LineClient } from './w3c-client.ts';

const SOURCE = join(dirname(fileURLToPath(import.meta.url)), 'quic-go');
/** Debian's Go packages are sources, and the first build on a machine compiles the standard library too. In ms. */
export const BUILD_MS = 300_000;

/** What quic-go says that it saw and did; see quic-go/trace.go. */
export interface QuicGoTrace {
  readonly retries: number;
  readonly versionNegotiations: number;
  readonly versions: readonly number[] | null;
  readonly keyUpdates: number;
  readonly earlyPackets: number;
  readonly pathChallenges: number;
  readonly largestInitialCryptoOffset: number;
  readonly handshakesDone: number;
  readonly lastClose: string;
}

export interface QuicGoAnswers {
  /** How many answers had each status. */
  readonly statuses: Readonly<Record<string, number>>;
  readonly body: string;
}

export interface QuicGo {
  /** Starts a client. It trusts `certificate`, a PEM file; `options` are flags of quic-go/main.go. */
  start(port: number, certificate: string, ...options: string[]): LineClient;
  remove(): void;
}

/** Builds the client with Debian's golang-go. A missing package is a failure, never a skip. */
export async function buildQuicGo(): Promise<QuicGo> {
  const directory = mkdtempSync(join(tmpdir(), 'parley-quic-go-'));
  const program = join(directory, 'client');
  await promisify(execFile)('go', ['build', '-o', program, '.'], {
    cwd: SOURCE,
    timeout: BUILD_MS,
    env: { ...process.env, GO111MODULE: 'off', GOPATH: '/usr/share/gocode', CGO_ENABLED: '0' },
  });
  return {
    start: (port, certificate, ...options) =>
      new LineClient(program, ['-address', `127.0.0.1:${port}`, '-root', certificate, ...options]),
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}
