import { z } from 'zod';
import { formatAddress, fromHex, parseAddress, parseJson, toHex } from '../wire/index.ts';
import { backendSchema, type ExpandedBackend, expandBackends, hexSchema as hex } from './cluster-backends.ts';
import { isHostName, isIpAddress, parseNetwork } from './cluster-hosts.ts';
import { type SecretReader, withSecrets } from './cluster-secrets.ts';
import type { ServerIds } from './decoder.ts';
import { configFaults, type QuicLbConfig } from './types.ts';

/** Entries of `backends`; and backends that they may stand for together, each worker being one. */
const MAX_ENTRIES = 16_384;
const SECRET_OCTETS = 32;

const forwarderHost = z
  .string('must be a string')
  .refine(
    (text) => isIpAddress(text) || parseNetwork(text) !== undefined || isHostName(text),
    'must be an IP address, a range such as 10.0.0.0/24, or a host name',
  );

const quicLb = z.strictObject({
  configRotation: z.int('must be a whole number'),
  serverIdLength: z.int('must be a whole number of octets'),
  nonceLength: z.int('must be a whole number of octets').default(8),
  key: hex(16).optional(),
  firstOctetEncodesLength: z.boolean('must be true or false').default(true),
});

/** Labels of 1 to 63 letters, digits and hyphens; short enough for a server ID of 15 octets before it. */
const HOST_NAME = /^(?=.{1,200}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;

const hostName = z
  .string('must be a string')
  .refine(
    (text) => HOST_NAME.test(text) && parseAddress(`${text}:1`) === undefined,
    'must be a host name in lower case such as voice.example, without a wildcard',
  );

/** Same as in `proto/spp`, which this folder does not import. */
const TUNNEL_TAGS = ['require', 'accept', 'off'] as const;

/** The shape of cluster.json, which forwarders and backends both read. */
export const clusterFileSchema = z.strictObject({
  quicLb: z
    .array(quicLb, 'must be a list')
    .min(1, 'must hold at least one configuration')
    .max(7, 'has room for 7 rotations'),
  routingKey: hex(SECRET_OCTETS),
  statelessResetKey: hex(SECRET_OCTETS),
  /** Session tickets of any backend open at all of them. Absent: derived from statelessResetKey. */
  ticketKey: hex(SECRET_OCTETS).optional(),
  backends: z
    .array(backendSchema, 'must be a list')
    .min(1, 'must name at least one backend')
    .max(MAX_ENTRIES, `must name at most ${MAX_ENTRIES} backends`),
  forwarders: z.array(forwarderHost, 'must be a list').default([]),
  /** Each backend is called `{serverId}.{callHost}`, so that a client can ask for one. */
  callHost: hostName.optional(),
  /** Whether packets between forwarders and backends carry a tag that only the cluster can make. */
  tunnelTag: z.enum(TUNNEL_TAGS, `must be one of ${TUNNEL_TAGS.join(', ')}`).default('require'),
});

/** What cluster.json holds, as it is written, its secrets in place. */
export type ClusterFile = z.input<typeof clusterFileSchema>;

export interface ClusterBackend {
  readonly name: string;
  /** The server ID it issues CIDs with, that of the first configuration. */
  readonly serverId: Uint8Array;
  /** Its server ID by config rotation. */
  readonly serverIds: ServerIds;
  /** Where it listens for SPP. The host is an IP address, or a name that is to be looked up. */
  readonly tunnel: { readonly host: string; readonly port: number };
  /** Where it takes TCP connections, if anywhere. */
  readonly tcp?: { readonly host: string; readonly port: number } | undefined;
}

/** cluster.json, checked and decoded. */
export interface ClusterConfig {
  /** Backends issue CIDs of the first; all are decoded. */
  readonly quicLb: readonly QuicLbConfig[];
  readonly routingKey: Uint8Array;
  readonly statelessResetKey: Uint8Array;
  /** Secret of session tickets, when it has one of its own. */
  readonly ticketKey: Uint8Array | undefined;
  readonly backends: readonly ClusterBackend[];
  /** Addresses, ranges (`10.0.0.0/24`) and host names that a backend's tunnel port accepts SPP from. */
  readonly forwarders: readonly string[];
  /** The name under which each backend has its own: see `callHostOf`. Absent: clients cannot ask for a backend. */
  readonly callHost: string | undefined;
  /** Whether packets in the tunnel carry a tag: demanded, accepted either way, or not sent. */
  readonly tunnelTag: (typeof TUNNEL_TAGS)[number];
}

export type ClusterFileResult =
  | { readonly ok: true; readonly value: ClusterConfig }
  | { readonly ok: false; readonly faults: string[] };

type Parsed = z.output<typeof clusterFileSchema>;

const octets = (text: string): Uint8Array => fromHex(text) ?? new Uint8Array();

function describe(path: readonly PropertyKey[]): string {
  let text = '';
  for (const key of path)
    text += typeof key === 'number' ? `[${key}]` : `${text === '' ? '' : '.'}${String(key)}`;
  return text === '' ? 'The file' : text;
}

/** One issue of a zod check as a sentence that names the place in the file. */
export function faultSentence(issue: z.core.$ZodIssue): string {
  const where = describe(issue.path);
  if (issue.code === 'unrecognized_keys') {
    return `${where} has a key that means nothing here: ${issue.keys.join(', ')}.`;
  }
  if (issue.code === 'invalid_type' && issue.message.startsWith('Invalid input')) {
    return `${where} must be ${issue.expected === 'object' ? 'an object' : `of type ${issue.expected}`}.`;
  }
  return `${where} ${issue.message}.`;
}

function toConfig(parsed: Parsed['quicLb'][number]): QuicLbConfig {
  const { key, ...rest } = parsed;
  return key === undefined ? rest : { ...rest, key: octets(key) };
}

/** Faults of one configuration's server IDs: a wrong length, none at all, or one given twice. */
function serverIdFaults(config: QuicLbConfig, backends: readonly ClusterBackend[]): string[] {
  const faults: string[] = [];
  const owners = new Map<string, string>();
  for (const { name, serverIds } of backends) {
    const serverId = serverIds.get(config.configRotation);
    if (serverId === undefined) {
      faults.push(`Backend ${name} has no serverId for config rotation ${config.configRotation}.`);
      continue;
    }
    if (serverId.length !== config.serverIdLength) {
      faults.push(
        `Backend ${name} has a serverId of ${serverId.length} octets, but config rotation ${config.configRotation} says serverIdLength ${config.serverIdLength}.`,
      );
    }
    const text = toHex(serverId);
    const owner = owners.get(text);
    if (owner !== undefined) {
      faults.push(
        `Backends ${owner} and ${name} have the same serverId for config rotation ${config.configRotation}.`,
      );
    }
    owners.set(text, name);
  }
  return faults;
}

/** The draft (§9.7) forbids one server ID in plaintext and in ciphertext: it would hand out known plaintext. */
function mixedFaults(configs: readonly QuicLbConfig[], backends: readonly ClusterBackend[]): string[] {
  const plain = new Set<string>();
  for (const config of configs) {
    if (config.key !== undefined) continue;
    for (const { serverIds } of backends)
      plain.add(toHex(serverIds.get(config.configRotation) ?? new Uint8Array()));
  }
  const faults: string[] = [];
  for (const config of configs) {
    if (config.key === undefined) continue;
    for (const { name, serverIds } of backends) {
      const text = toHex(serverIds.get(config.configRotation) ?? new Uint8Array());
      if (text !== '' && plain.has(text)) {
        faults.push(
          `Backend ${name} uses one serverId both with a key (rotation ${config.configRotation}) and without: give each rotation its own, as in "serverId": {"0": "…", "1": "…"}.`,
        );
      }
    }
  }
  return faults;
}

/** The draft (§9.6) forbids a nonce to come twice under one key; backends do not know which ones another rotation used. */
function sharedKeyFaults(configs: readonly QuicLbConfig[]): string[] {
  const keys = configs.flatMap(({ key }) => (key === undefined ? [] : [toHex(key)]));
  return repeated(keys).map(() => 'Two entries of quicLb have the same key; make a new one for each.');
}

function repeated(values: readonly string[]): string[] {
  const seen = new Set<string>();
  const twice = new Set<string>();
  for (const value of values) (seen.has(value) ? twice : seen).add(value);
  return [...twice];
}

function crossFaults(value: ClusterConfig, backends: readonly ExpandedBackend[]): string[] {
  const faults: string[] = [];
  value.quicLb.forEach((config, i) => {
    for (const fault of configFaults(config)) faults.push(`quicLb[${i}]: ${fault}`);
    faults.push(...serverIdFaults(config, value.backends));
  });
  for (const rotation of repeated(value.quicLb.map((config) => String(config.configRotation)))) {
    faults.push(`Two entries of quicLb have the configRotation ${rotation}; give each its own.`);
  }
  for (const name of repeated(backends.map(({ name }) => name))) {
    faults.push(`Two backends have the name ${name}; give each its own.`);
  }
  for (const tunnel of repeated(backends.map(({ tunnel }) => formatAddress(tunnel)))) {
    faults.push(`Two backends have the tunnel address ${tunnel}; give each its own.`);
  }
  for (const tcp of repeated(backends.flatMap(({ tcp }) => (tcp === undefined ? [] : formatAddress(tcp))))) {
    faults.push(`Two backends have the tcp address ${tcp}; give each its own.`);
  }
  faults.push(...sharedKeyFaults(value.quicLb), ...mixedFaults(value.quicLb, value.backends));
  return faults;
}

/** Hex digits in a row that a sentence may show: a key is longer, and a part of one is a part too many in a log. */
const SHOWN_HEX_DIGITS = 5;
const SECRET = new RegExp(`[0-9a-f]{${SHOWN_HEX_DIGITS + 1},}`, 'gi');

/** A fault without what may be a key or a part of one, in whatever place of the file it was written. */
function withoutSecrets(fault: string): string {
  return fault.replace(SECRET, '…');
}

/**
 * Checks the text of a cluster.json. Never throws: what is wrong comes back as one sentence per fault, which shows no key. `secrets`
 * reads what the file names instead of holding it (`{"file": …}`, `{"env": …}`); without it such a file is refused.
 */
export function parseClusterFile(text: string, secrets?: SecretReader): ClusterFileResult {
  const result = parse(text, secrets);
  return result.ok ? result : { ok: false, faults: [...new Set(result.faults.map(withoutSecrets))] };
}

function parse(text: string, secrets: SecretReader | undefined): ClusterFileResult {
  const json = parseJson(text);
  if (!json.ok) {
    return { ok: false, faults: [`The file is not JSON: look at line ${json.line}, column ${json.column}.`] };
  }
  const filled = withSecrets(json.value, secrets);
  if (!filled.ok) return filled;
  const result = clusterFileSchema.safeParse(filled.value);
  if (!result.success) return { ok: false, faults: result.error.issues.map(faultSentence) };
  const parsed = result.data;
  const configs = parsed.quicLb.map(toConfig);
  const expanded = expandBackends(
    parsed.backends,
    configs.map(({ configRotation }) => configRotation),
    MAX_ENTRIES,
  );
  if (!expanded.ok) return expanded;
  const backends = expanded.backends.map((entry): ClusterBackend => {
    const serverId = entry.serverIds.get((configs[0] as QuicLbConfig).configRotation) ?? new Uint8Array();
    return { ...entry, serverId };
  });
  const value: ClusterConfig = {
    quicLb: configs,
    routingKey: octets(parsed.routingKey),
    statelessResetKey: octets(parsed.statelessResetKey),
    ticketKey: parsed.ticketKey === undefined ? undefined : octets(parsed.ticketKey),
    backends,
    forwarders: parsed.forwarders,
    callHost: parsed.callHost,
    tunnelTag: parsed.tunnelTag,
  };
  const faults = crossFaults(value, expanded.backends);
  return faults.length === 0 ? { ok: true, value } : { ok: false, faults };
}
