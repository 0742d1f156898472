import { z } from 'zod';
import { loadClusterFile } from '../net/cluster/index.ts';
import { readFileOrStop } from '../net/files.ts';
import { StartupError } from '../net/startup.ts';
import { type Address, isIpv6, SOCKET_KINDS } from '../net/udp/index.ts';
import { type ClusterConfig, faultSentence } from '../proto/quic-lb/index.ts';
import { formatAddress, parseAddress, parseJson } from '../proto/wire/index.ts';

const address = z
  .string('must be a string')
  .refine(
    (text) => parseAddress(text) !== undefined,
    'must be an IP address and port such as 0.0.0.0:4433 or [::]:4433',
  )
  .transform((text) => parseAddress(text) as Address);

const addresses = z.preprocess(
  (value) => (typeof value === 'string' ? [value] : value),
  z.array(address, 'must be an address or a list of addresses').min(1, 'must name at least one address'),
);

const probe = z.strictObject({
  intervalMs: z.number('must be a number of milliseconds').min(10, 'must be at least 10').default(500),
  silentAfter: z.int('must be a whole number of probes').min(1, 'must be at least 1').default(3),
  deadAfter: z.int('must be a whole number of probes').min(2, 'must be at least 2').default(50),
});

const tcp = z.strictObject({
  maxConnections: z.int('must be a whole number').min(1, 'must be at least 1').default(10_000),
  connectionsPerAddress: z.int('must be a whole number').min(1, 'must be at least 1').default(512),
  idleSeconds: z.number('must be a number of seconds').positive('must be above 0').default(300),
});

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

const schema = z.strictObject({
  /** Path of cluster.json. */
  cluster: z.string('must be a path').default('cluster.json'),
  /** Where clients come. */
  listen: addresses.default([{ host: '0.0.0.0', port: 4433 }]),
  /** Where backends are talked to; the listening sockets when absent. */
  tunnel: addresses.optional(),
  metrics: address.optional(),
  /** Batched system calls, `dgram`, or the former where it can be had. */
  socket: z.enum(SOCKET_KINDS, `must be one of ${SOCKET_KINDS.join(', ')}`).default('auto'),
  probe: probe.prefault({}),
  /** Bounds of TCP connections, which are taken on the ports of `listen` when a backend of the cluster has a `tcp` address. */
  tcp: tcp.prefault({}),
  logLevel: z.enum(LOG_LEVELS, `must be one of ${LOG_LEVELS.join(', ')}`).default('info'),
  /** Milliseconds between lines of counters at level debug. */
  statsIntervalMs: z
    .number('must be a number of milliseconds')
    .min(100, 'must be at least 100')
    .default(10_000),
});

/** Names of all settings. */
export const FORWARDER_CONFIG_KEYS: readonly string[] = Object.keys(schema.shape);
/** A forwarder's own settings, as they are written. */
export type ForwarderConfigInput = z.input<typeof schema>;
/** A forwarder's own settings, checked. */
export type ForwarderConfig = z.output<typeof schema>;

export type ConfigResult =
  | { readonly ok: true; readonly value: ForwarderConfig }
  | { readonly ok: false; readonly faults: string[] };

const WILDCARDS = ['0.0.0.0', '::'];

/** Addresses of which one takes the other's packets: the same, or a wildcard of the family on the same port. */
function overlaps(name: string, list: readonly Address[]): string[] {
  const faults: string[] = [];
  list.forEach((a, i) => {
    for (const b of list.slice(i + 1)) {
      if (a.port !== b.port || a.port === 0 || isIpv6(a.host) !== isIpv6(b.host)) continue;
      const isWide = WILDCARDS.includes(a.host) || WILDCARDS.includes(b.host);
      if (a.host !== b.host && !isWide) continue;
      faults.push(
        `${name} holds ${formatAddress(a)} and ${formatAddress(b)}, of which one covers the other.`,
      );
    }
  });
  return faults;
}

/** Backends are talked to from the first tunnel address of their family: a second would never be used. */
function onePerFamily(name: string, list: readonly Address[] = []): string[] {
  const ipv6 = list.filter(({ host }) => isIpv6(host)).length;
  return ipv6 > 1 || list.length - ipv6 > 1
    ? [`${name} may hold one IPv4 address and one IPv6 address, not more.`]
    : [];
}

/** Checks settings; one sentence per fault. */
export function parseForwarderConfig(input: unknown): ConfigResult {
  const result = schema.safeParse(input);
  if (!result.success) return { ok: false, faults: result.error.issues.map(faultSentence) };
  const { listen, tunnel, probe: rules } = result.data;
  const faults = [...overlaps('listen', listen), ...onePerFamily('tunnel', tunnel)];
  // Callers of a backend that is called dead lose their calls: that must not be decided in haste.
  if (rules.deadAfter < rules.silentAfter * 2) {
    faults.push(
      `probe.deadAfter is ${rules.deadAfter}, but must be at least twice probe.silentAfter (${rules.silentAfter}): calls on a dead backend are ended.`,
    );
  }
  return faults.length > 0 ? { ok: false, faults } : { ok: true, value: result.data };
}

/** Reads cluster.json. Throws `StartupError`, one sentence per fault. */
export function readClusterFile(path: string): ClusterConfig {
  return loadClusterFile(path).cluster;
}

/** Reads and checks a forwarder's own settings. Throws `StartupError`, one sentence per fault. */
export function readForwarderConfig(path: string): ForwarderConfig {
  return checked(path, readSettings(path, {}));
}

/** Settings from a file (if any), which are checked by themselves, with `flags` over them. Throws `StartupError`, one sentence per fault of the file. */
export function readSettings(
  path: string | undefined,
  flags: Partial<ForwarderConfigInput>,
): Partial<ForwarderConfigInput> {
  if (path === undefined) return flags;
  const json = parseJson(readFileOrStop(path, 'configuration'));
  if (!json.ok) {
    throw new StartupError(
      `${path}: The file is not JSON: look at line ${json.line}, column ${json.column}.`,
    );
  }
  const settings = json.value;
  if (typeof settings !== 'object' || settings === null || Array.isArray(settings)) {
    throw new StartupError(`${path}: The file must hold an object.`);
  }
  // Flags, or the default, may name the cluster file in its place.
  checked(path, { cluster: path, ...settings });
  return { ...settings, ...flags };
}

/** Checks what a file holds. Throws `StartupError`, one sentence per fault, each with the file's name. */
function checked(path: string, settings: unknown): ForwarderConfig {
  const result = parseForwarderConfig(settings);
  if (!result.ok) throw new StartupError(result.faults.map((fault) => `${path}: ${fault}`).join('\n'));
  return result.value;
}
