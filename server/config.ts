import { hostname } from 'node:os';
import { z } from 'zod';
import { readFileOrStop } from '../net/files.ts';
import { StartupError } from '../net/startup.ts';
import { SOCKET_KINDS } from '../net/udp/index.ts';
import { parseAddress, parseJson } from '../proto/wire/index.ts';
import { authSchema } from './access/index.ts';
import { isHook } from './check-hooks.ts';
import { azureRouteProblem, formatProblem } from './realtime/index.ts';

const address = z
  .string()
  .refine((text) => parseAddress(text) !== undefined, 'must be an IP address and a port, like 127.0.0.1:5001')
  .transform((text) => parseAddress(text)!);

/** What leaves from it is to look like an answer of the forwarder. */
const returnAddress = address.refine(
  ({ host, port }) => host !== '0.0.0.0' && host !== '::' && port !== 0,
  'must be the address and the port that callers call, like 203.0.113.7:4433',
);

/** Browsers send an origin without a path and in lower case: anything else would never match, and the log would not say why. */
const origin = z
  .string()
  .refine(
    (text) => text === '*' || (URL.canParse(text) && new URL(text).origin === text),
    'must be an origin without a path, like https://voice.example or http://localhost:8080, or *',
  );

const upstream = z
  .discriminatedUnion(
    'kind',
    [
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
      /** One that the hook `openUpstream` opens. */
      z.strictObject({ kind: z.literal('custom') }),
    ],
    { error: ({ code }) => (code === 'invalid_union' ? 'must be "openai", "local" or "custom"' : undefined) },
  )
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

const operatorToken = z.union(
  [z.strictObject({ file: z.string().min(1) }), z.strictObject({ env: z.string().min(1) })],
  'must be {"file": …} or {"env": …}',
);

const schema = z.strictObject({
  /** Which backend of the cluster file this is. Absent: the one of this host's name. */
  name: z.string().min(1).default(hostname()),
  /** Path of the cluster file. */
  cluster: z.string().min(1).default('cluster.json'),
  /** UDP address that the tunnel port is opened on. Absent: that of the cluster file; every IPv4 address where that holds a name. */
  tunnel: address.optional(),
  /** UDP address for clients that come without a forwarder. Absent: only the tunnel port listens. */
  public: address.optional(),
  /**
   * Address of the public port as callers reach it. Clients that know preferred_address (RFC 9000 §9.6) go there after the
   * handshake, past the forwarder. Absent: calls stay with the forwarder.
   */
  preferredAddress: address.optional(),
  /**
   * Addresses that callers call at the forwarders and that this machine has as well, on its loopback interface: callers are answered from
   * there, past the forwarder. Absent: what goes to a caller goes through the forwarder.
   */
  directServerReturn: z.array(returnAddress).min(1).max(16).optional(),
  /**
   * TCP address for callers whose network blocks UDP: TLS with the same certificate, WebTransport over WebSocket or HTTP/2. Absent: the
   * cluster file's `tcp` of this backend, if it has one.
   */
  tcp: address.optional(),
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
  /** Who may call: the tokens that are taken. Absent: everybody whose page's origin is allowed. */
  auth: authSchema.optional(),
  /** WebTransport paths. */
  voicePath: z.string().startsWith('/').default('/voice'),
  healthPath: z.string().startsWith('/').default('/healthz'),
  /** A path that sends every stream and datagram back, for checks of the network. Absent: there is none. */
  echoPath: z.string().startsWith('/').optional(),
  /** HTTP address of /metrics and /healthz for operators. Absent: none. */
  metrics: address.optional(),
  /**
   * The token that operators give for `/calls` on the `metrics` port: in a file, or in a variable of the environment. Absent: calls
   * are not shown.
   */
  operatorToken: operatorToken.optional(),
  logLevel: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  /** Calls at once from one client address. */
  sessionsPerAddress: z.number().int().min(1).default(64),
  /** Calls at once. Beyond it the backend stops answering probes, and forwarders send newcomers elsewhere. */
  maxSessions: z.number().int().min(1).default(1000),
  /** Connections at once, with a session or without. Beyond it the oldest without one gives its place to a newcomer. */
  maxConnections: z.number().int().min(1).default(10_000),
  /** Connections at once from one client address, an IPv6 /64 being one. Absent: twice `sessionsPerAddress`. */
  connectionsPerAddress: z.number().int().min(1).optional(),
  /** Seconds from a connection's first packet to its first request, a session's or a plain one; then it is closed. */
  firstRequestSeconds: z.number().positive().default(10),
  /** Seconds that a connection may stay without a session after that. */
  idleSeconds: z.number().positive().default(60),
  /** Minutes after which a call is ended. */
  maxSessionMinutes: z.number().positive().default(120),
  /** Seconds that a call waits for its page when its session is gone. 0: a call ends with its session. */
  resumeSeconds: z.number().min(0).max(3600).default(60),
  /** Seconds for which a call whose upstream ended tries to reach another. 0: a call ends with its upstream. */
  redialSeconds: z.number().min(0).max(600).default(30),
  /**
   * When a newcomer must prove its address with a Retry, for one round trip more: `under-load` while many handshakes are
   * in progress, or `always`.
   */
  retry: z.enum(['under-load', 'always']).default('under-load'),
  /** Seconds that calls get to end by themselves after SIGTERM. */
  drainSeconds: z.number().min(0).default(30),
  /** File that TLS secrets are appended to, for reading captures. Never in production. Default: SSLKEYLOGFILE, if set. */
  keyLogFile: z.string().min(1).optional(),
  /** Octets of UDP payload that path MTU discovery tries at most. SPP and its tag add 46 more between forwarder and backend. */
  maxDatagramSize: z.number().int().min(1200).max(9170).default(1406),
  /**
   * How fast the backend sends: `bbr` (draft-ietf-ccwg-bbr) by what the path was seen to deliver, `cubic` (RFC 9438) until something is
   * lost.
   */
  congestionControl: z.enum(['bbr', 'cubic']).default('bbr'),
  /** UDP sockets: batched system calls (Linux), Node's `dgram`, or the former where it works. */
  socket: z.enum(SOCKET_KINDS).default('auto'),
  /** Directory for a qlog file of each connection. Absent: none are written. */
  qlogDirectory: z.string().min(1).optional(),
  /** Spans of calls, by the tracer of OpenTelemetry that the process has registered; needs the package `@opentelemetry/api`. */
  traces: z.boolean().default(false),
  /** Directory for qlogs that operators ask for while a call runs. Absent: they cannot. */
  qlogOnDemand: z.string().min(1).optional(),
});

/** Every key of a backend's file, as docs/configuration.md documents them. */
export const BACKEND_CONFIG_KEYS: readonly string[] = Object.keys(schema.shape);

export type BackendConfig = z.infer<typeof schema>;
/** The configuration as it is written in a file, before defaults. */
export type BackendConfigInput = z.input<typeof schema>;

const WORDS: Readonly<Record<string, string>> = {
  string: 'a text in quotes',
  number: 'a number',
  int: 'a whole number',
  array: 'a list',
  object: 'an object',
};

function sentence(issue: z.core.$ZodIssue): string {
  const where = issue.path.length > 0 ? `"${issue.path.join('.')}": ` : '';
  if (issue.code === 'unrecognized_keys') {
    const isMisplaced = issue.path.length === 0 && issue.keys.some(isHook);
    const hint = isMisplaced ? '; hooks are the second argument of startBackend' : '';
    return `${where}there is no setting ${issue.keys.map((key) => `"${key}"`).join(', ')}${hint}`;
  }
  if (issue.code === 'invalid_type')
    return `${where}${/received undefined$/.test(issue.message) ? 'is missing' : `must be ${WORDS[issue.expected] ?? issue.expected}`}`;
  return `${where}${issue.message.replace(/\.$/, '')}`;
}

/** Checks a configuration. Throws `StartupError` with one sentence per fault. */
export function parseBackendConfig(input: unknown, where: string): BackendConfig {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  throw new StartupError(result.error.issues.map((issue) => `${where}: ${sentence(issue)}.`).join('\n'));
}

/**
 * Reads a backend's file and checks it; gives it as it is written, for `startBackend`, as it is or with settings of the app's own.
 * Throws `StartupError` with one sentence per fault.
 */
export function readBackendFile(path: string): BackendConfigInput {
  const json = parseJson(readFileOrStop(path, 'backend configuration'));
  if (!json.ok) {
    throw new StartupError(
      `${path}: The file is not JSON: look at line ${json.line}, column ${json.column}.`,
    );
  }
  parseBackendConfig(json.value, path);
  return json.value as BackendConfigInput;
}

/** The same with all defaults, as a backend uses it. */
export function readBackendConfig(path: string): BackendConfig {
  return parseBackendConfig(readBackendFile(path), path);
}
