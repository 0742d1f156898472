import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { z } from 'zod';
import type { Address } from '../proto/quic/index.ts';
import { StartupError } from './errors.ts';
import { azureRouteProblem, formatProblem } from './realtime/index.ts';

/** `host:port` or `[host]:port` as an address; `undefined` when it is neither. */
export function parseAddress(text: string): Address | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host !== undefined && isIP(host) !== 0 && port <= 65_535 ? { host, port } : undefined;
}

const address = z
  .string()
  .refine((text) => parseAddress(text) !== undefined, 'must be an IP address and a port, like 127.0.0.1:5001')
  .transform((text) => parseAddress(text)!);

/** Browsers send an origin without a path and in lower case: anything else would match no page, without a word of why. */
const origin = z
  .string()
  .refine(
    (text) => text === '*' || (URL.canParse(text) && new URL(text).origin === text),
    'must be an origin without a path, like https://voice.example or http://localhost:8080, or *',
  );

const upstream = z
  .discriminatedUnion('kind', [
    z.strictObject({
      kind: z.literal('openai'),
      model: z.string().min(1).default('gpt-realtime'),
      /** Another service that speaks the same API; with `azure`, the resource's endpoint. */
      baseUrl: z
        .url({ protocol: /^(?:https|wss)$/, error: 'must be a URL that begins with https://' })
        .optional(),
      /** `apiVersion` is for Azure's dated paths alone; `/openai/v1` takes none. */
      azure: z.strictObject({ apiVersion: z.string().min(1).optional() }).optional(),
    }),
    z.strictObject({
      kind: z.literal('local'),
      model: z.string().min(1).default('parley-local'),
      baseUrl: z.url(),
      /** PEM file of the certificate that the local service presents. */
      ca: z.string().min(1),
    }),
  ])
  .check((context) => {
    const { value } = context;
    if (value.kind !== 'openai' || value.azure === undefined) return;
    const problem = azureRouteProblem(value.baseUrl, value.azure.apiVersion);
    if (problem !== undefined) context.issues.push({ code: 'custom', message: problem, input: value });
  });

/** The `session` of a `session.update`; what is not looked at here passes as it is. */
const session = z.looseObject({ type: z.literal('realtime') }).check((context) => {
  const problem = formatProblem({ session: context.value });
  if (problem !== undefined) context.issues.push({ code: 'custom', message: problem, input: context.value });
});

const schema = z.strictObject({
  /** Which backend of the cluster file this is. */
  name: z.string().min(1),
  /** Path of the cluster file. */
  cluster: z.string().min(1).default('cluster.json'),
  /** UDP address for clients that come without a forwarder. Absent: only the tunnel port listens. */
  public: address.optional(),
  /**
   * Address of the public port as callers reach it. Clients that know preferred_address (RFC 9000 §9.6) go there after the
   * handshake, past the forwarder. Absent: calls stay with the forwarder.
   */
  preferredAddress: address.optional(),
  /** PEM files. The certificate file may hold a chain, leaf first. */
  certificate: z.string().min(1),
  key: z.string().min(1),
  upstream,
  /** The `session` of a `session.update` that each call begins with: instructions, voice, tools. Absent: the API's defaults. */
  session: session.optional(),
  /** Events of the Realtime API that a page may send. Absent: a sensible list. */
  allowedEvents: z.array(z.string().min(1)).optional(),
  /** Origins of pages that may call. `*` allows every origin. */
  origins: z.array(origin).default(['http://localhost:8080']),
  /** WebTransport paths. */
  voicePath: z.string().startsWith('/').default('/voice'),
  healthPath: z.string().startsWith('/').default('/healthz'),
  /** A path that sends every stream and datagram back, for checks of the network. Absent: there is none. */
  echoPath: z.string().startsWith('/').optional(),
  /** HTTP address of /metrics and /healthz for operators. Absent: none. */
  metrics: address.optional(),
  logLevel: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  /** Calls at once from one client address. */
  sessionsPerAddress: z.number().int().min(1).default(64),
  /** Calls at once. Beyond it the backend stops answering probes, and forwarders send newcomers elsewhere. */
  maxSessions: z.number().int().min(1).default(1000),
  /** Minutes after which a call is ended. */
  maxSessionMinutes: z.number().positive().default(120),
  /**
   * When a newcomer must prove its address with a Retry, for one round trip more: `under-load` while many handshakes are
   * in progress, or `always`.
   */
  retry: z.enum(['under-load', 'always']).default('under-load'),
  /** Seconds that calls get to end by themselves after SIGTERM. */
  drainSeconds: z.number().min(0).default(30),
  /** File that TLS secrets are appended to, for reading captures. Never in production. Default: SSLKEYLOGFILE, if set. */
  keyLogFile: z.string().min(1).optional(),
  /** Octets of UDP payload that path MTU discovery tries at most. SPP adds 38 more between forwarder and backend. */
  maxDatagramSize: z.number().int().min(1200).max(16_383).default(1414),
  /** Directory for a qlog file of each connection. Absent: none are written. */
  qlogDirectory: z.string().min(1).optional(),
});

/** Every key of a backend's file, as the README documents them. */
export const BACKEND_CONFIG_KEYS: readonly string[] = Object.keys(schema.shape);

export type BackendConfig = z.infer<typeof schema>;
/** The configuration as it is written in a file, before defaults. */
export type BackendConfigInput = z.input<typeof schema>;

function sentence(issue: z.core.$ZodIssue): string {
  const where = issue.path.length > 0 ? `"${issue.path.join('.')}": ` : '';
  return `${where}${issue.message.replace(/\.$/, '')}`;
}

/** Checks a configuration. Throws `StartupError` with one sentence per fault. */
export function parseBackendConfig(input: unknown, where: string): BackendConfig {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  throw new StartupError(result.error.issues.map((issue) => `${where}: ${sentence(issue)}.`).join('\n'));
}

/** Reads a file. Throws `StartupError` that names it and says what it was for. */
export function readFileOrStop(path: string, what: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const why = code === 'ENOENT' ? 'there is no such file' : (code ?? String(error));
    throw new StartupError(`${what}: cannot read ${path}: ${why}.`);
  }
}

/** Reads and checks a configuration file. */
export function readBackendConfig(path: string): BackendConfig {
  const text = readFileOrStop(path, 'backend configuration');
  let input: unknown;
  try {
    input = JSON.parse(text);
  } catch (error) {
    throw new StartupError(`${path}: not valid JSON: ${(error as Error).message}.`);
  }
  return parseBackendConfig(input, path);
}
