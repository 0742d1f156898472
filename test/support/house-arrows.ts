/** What a file may import. The longest name of a folder or file that holds it counts; what it holds itself is always allowed. */
export type Arrows = Readonly<Record<string, readonly string[]>>;

/**
 * The arrows between folders, and the only place where they stand. A name is a folder or a file of the tree, a package, or
 * `node:*` for every module of Node. Folders that are not named here may not hold sources.
 *
 * - `proto/` does no I/O: of Node it has `node:crypto` alone, and that below HTTP/3.
 * - `proto/voice` and `browser/` run in browsers.
 * - `lb/` routes without a key of any connection, so it cannot import what would read one.
 */
export const HOUSE_ARROWS: Arrows = {
  'proto/wire': [],
  'proto/invariants': ['proto/wire'],
  'proto/spp': ['proto/wire'],
  'proto/proxy-protocol': ['proto/wire'],
  'proto/quic-lb': ['proto/wire', 'node:crypto', 'zod'],
  // What a ClientHello shows without a key: read by forwarders as well.
  'proto/client-hello': ['proto/wire'],
  'proto/tls': ['proto/client-hello', 'proto/wire', 'node:crypto'],
  'proto/quic': ['proto/client-hello', 'proto/tls', 'proto/invariants', 'proto/wire', 'node:crypto'],
  'proto/http3': ['proto/quic', 'proto/wire'],
  'proto/webtransport': ['proto/http3', 'proto/quic', 'proto/wire'],
  'proto/voice': ['proto/wire'],
  net: ['proto/wire', 'node:*', 'koffi', 'pino', 'prom-client'],
  // What proto/quic is given by an interface: its types, and node:crypto's ciphers to fall back on.
  'net/ciphers': ['proto/quic', 'proto/wire', 'node:*', 'koffi'],
  // A cluster file as it stands on a disk, and the names in it.
  'net/cluster': ['net', 'proto/quic-lb', 'proto/wire', 'node:*'],
  keys: ['net', 'proto/quic-lb', 'node:*'],
  certs: ['net', 'proto/wire', 'node:*'],
  lb: [
    'net',
    'proto/client-hello',
    'proto/invariants',
    'proto/proxy-protocol',
    'proto/quic-lb',
    'proto/spp',
    'proto/wire',
    'node:*',
    'pino',
    'prom-client',
    'zod',
  ],
  browser: ['proto/voice', 'proto/wire', '@fails-components/webtransport'],
  'browser/agents': ['browser', 'proto/voice', '@openai/agents-realtime'],
  'browser/react': ['browser', 'react'],
  'browser/build.ts': ['node:*', 'esbuild'],
  server: [
    'net',
    'proto',
    'node:*',
    '@fails-components/webtransport',
    '@opentelemetry/api',
    'https-proxy-agent',
    'jose',
    'libopus-wasm',
    'openai',
    'pino',
    'prom-client',
    'proxy-from-env',
    'ws',
    'zod',
  ],
  // Stands upon a framework that only those who want it have.
  'server/agents': ['server', 'proto/voice', '@openai/agents-realtime'],
  'server/start': ['server', 'net', 'certs', 'browser/build.ts', 'proto/quic-lb', 'node:*', 'uqr'],
  // The programs of the package.
  cli: ['server', 'lb', 'certs', 'keys', 'net', 'proto/quic-lb', 'proto/wire', 'node:*'],
  'build.ts': ['browser/build.ts', 'net', 'node:*'],
  test: ['*'],
  'vitest.config.ts': ['node:os', 'vitest'],
};
