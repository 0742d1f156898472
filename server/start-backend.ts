import { isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { Logger } from 'pino';
import { choosePacketCiphers } from '../net/ciphers/index.ts';
import { StartupError } from '../net/startup.ts';
import { chooseSockets, toEndpoint } from '../net/udp/index.ts';
import { type Address, QuicEndpoint } from '../proto/quic/index.ts';
import { LiveTokens } from './access/index.ts';
import { type Backend, RunningBackend } from './backend.ts';
import { checkHooks } from './check-hooks.ts';
import { bindAddress, LiveCluster, readCluster } from './cluster.ts';
import type { BackendConfig } from './config.ts';
import { LiveConnectionIds } from './connection-ids.ts';
import type { BackendHooks } from './hooks.ts';
import { openKeyLog, QlogDirectory, QlogOnDemand } from './insight/index.ts';
import { LiveCertificate } from './live-certificate.ts';
import { openPublicSocket, openTunnelSocket, type PacketSocket } from './net/index.ts';
import { createRandomSource } from './random.ts';
import { refusedPacketLog } from './refused-packets.ts';
import { resetGuard } from './reset-guard.ts';
import { steerTo } from './steering.ts';
import { openTracing } from './tracing/index.ts';
import { warmUp } from './warm-up.ts';
import { CLIENT_STREAM_LIMITS } from './webtransport/index.ts';

/**
 * Handshakes in a second that may begin without a proof of the address, and half-open ones, beyond which newcomers get a Retry. A
 * handshake costs about a millisecond, so forged addresses cost callers no more than this share of the processor.
 */
const NEWCOMER_LIMITS = {
  unprovenPerSecond: 64,
  maxHalfOpen: 64,
  maxHalfOpenPerAddress: 16,
  // About two milliseconds, in which calls wait.
  newcomersPerTurn: 32,
} as const;

interface Closable {
  close(): void | Promise<void>;
}

async function openSockets(
  config: BackendConfig,
  tunnel: Address,
  cluster: LiveCluster,
  log: Logger,
): Promise<PacketSocket[]> {
  const choice = chooseSockets(config.socket);
  log.info({ socket: choice.kind }, `UDP sockets are ${choice.kind}: ${choice.why}`);
  const returns = config.directServerReturn ?? [];
  for (const { host } of returns) mustBeHere(host);
  const rules = {
    get forwarders() {
      return cluster.forwarders;
    },
    get end() {
      return cluster.end;
    },
    refused: refusedPacketLog(log),
  };
  const first = await openTunnelSocket(tunnel, rules, choice, returns);
  if (config.public === undefined) return [first];
  try {
    return [first, await openPublicSocket(config.public, choice)];
  } catch (error) {
    await first.close();
    throw error;
  }
}

/** Throws `StartupError` for an address that this machine does not have: the kernel would send nothing from it. */
function mustBeHere(host: string): void {
  const same = (address: string) => toEndpoint(address, 0).host;
  const all = Object.values(networkInterfaces()).flatMap((list = []) => list);
  if (all.some(({ address }) => same(address) === same(host))) return;
  throw new StartupError(
    `"directServerReturn": ${host} is not an address of this machine; put it on the loopback interface (ip address add ${host}/${isIPv6(host) ? 128 : 32} dev lo).`,
  );
}

/** The tokens that callers need; undefined when everybody may call, which is said where no page is refused either. */
function openTokens(
  config: BackendConfig,
  env: NodeJS.ProcessEnv,
  log: Logger,
  hooks: BackendHooks,
): LiveTokens | undefined {
  if (config.auth !== undefined) return new LiveTokens(config.auth, env, log);
  if (config.origins.includes('*') && hooks.authenticate === undefined)
    log.warn('Everybody may call: there is no "auth", and "origins" allows every page.');
  return undefined;
}

/** What shows the insides of connections, as far as it is asked for. */
function openInsight(config: BackendConfig, env: NodeJS.ProcessEnv, log: Logger) {
  const keyLog = openKeyLog(config.keyLogFile, env);
  if (keyLog)
    log.warn({ path: keyLog.path }, 'TLS secrets are written: with this file every call can be decrypted');
  const qlog = config.qlogDirectory === undefined ? undefined : new QlogDirectory(config.qlogDirectory);
  const qlogOnDemand =
    config.qlogOnDemand === undefined ? undefined : new QlogOnDemand(new QlogDirectory(config.qlogOnDemand));
  return { keyLog, qlog, qlogOnDemand };
}

/** Where clients are asked to go after the handshake, as an endpoint's options say it. Throws `StartupError` when the port is not open. */
function preferredAddressOf({ preferredAddress, public: open }: BackendConfig) {
  if (preferredAddress !== undefined && open === undefined)
    throw new StartupError(
      '"preferredAddress" needs "public": the port that callers are sent to must be open.',
    );
  if (preferredAddress === undefined) return {};
  return { preferredAddress: { [isIPv6(preferredAddress.host) ? 'ipv6' : 'ipv4']: preferredAddress } };
}

/** What each connection is held to. */
const transportOf = ({ maxDatagramSize, congestionControl }: BackendConfig) => ({
  ...CLIENT_STREAM_LIMITS,
  maxDatagramSize,
  congestionControl,
});

/**
 * Starts a backend: its tunnel port and, if configured, its public port. Throws `StartupError` with one sentence per
 * fault of the configuration.
 */
export async function startBackend(
  settings: BackendConfig,
  log: Logger,
  env = process.env,
  hooks: BackendHooks = {},
): Promise<Backend> {
  checkHooks(hooks);
  const opened: Closable[] = [];
  try {
    return await open(settings, { log, env, hooks, opened });
  } catch (error) {
    // An app may try again in this process, with the same ports.
    for (const one of opened.reverse()) await one.close();
    throw error;
  }
}

interface Opening {
  readonly log: Logger;
  readonly env: NodeJS.ProcessEnv;
  readonly hooks: BackendHooks;
  /** Takes what is to be closed again when the backend cannot start. */
  readonly opened: Closable[];
}

async function open(settings: BackendConfig, { log, env, hooks, opened }: Opening): Promise<Backend> {
  const place = readCluster(settings.cluster, settings.name, env);
  const { tunnel, tcp, callHost, ticketSecret } = place;
  const config = { ...settings, name: place.name };
  const certificate = new LiveCertificate(config.certificate, config.key, log);
  opened.push(certificate);
  warmUp(certificate.current);
  const tokens = openTokens(config, env, log, hooks);
  if (tokens !== undefined) opened.push(tokens);
  const preferredAddress = preferredAddressOf(config);
  const random = createRandomSource();
  const { keyLog, qlog, qlogOnDemand } = openInsight(config, env, log);
  let backend: RunningBackend | undefined;
  const connectionIds = new LiveConnectionIds(place.cluster, place.serverId, random);
  const { ciphers, why } = choosePacketCiphers();
  log.info({ ciphers: ciphers.name }, `packets are protected by ${ciphers.name}: ${why}`);
  const cluster = new LiveCluster(config.cluster, place, log, { env });
  opened.push(cluster);
  const endpoint = new QuicEndpoint({
    ciphers,
    // Sockets copy what they are given.
    reuseDatagramMemory: true,
    random,
    connectionIdGenerator: connectionIds,
    statelessResetKey: place.cluster.statelessResetKey,
    wallClockMs: () => Date.now(),
    mayReset: resetGuard(() => cluster.place.cluster, place.name),
    server: {
      ...preferredAddress,
      tls: {
        // Asked at each handshake: it may have been renewed.
        get certificates() {
          return [certificate.current];
        },
        alpnProtocols: ['h3'],
        tickets: { secret: ticketSecret, nowEpochMs: () => Date.now() },
        ...(keyLog && { keyLog: keyLog.write }),
      },
      ...(callHost !== undefined && {
        steering: steerTo(
          () => connectionIds.config,
          place.name,
          () => cluster.callHosts,
          random,
        ),
      }),
      ...(config.retry === 'always' && { requireRetry: () => true }),
      ...NEWCOMER_LIMITS,
      maxConnections: config.maxConnections,
      maxConnectionsPerAddress: config.connectionsPerAddress ?? 2 * config.sessionsPerAddress,
      makeRoom: (limit, remote) => backend?.makeRoom(limit, remote) ?? false,
    },
    transport: transportOf(config),
    ...(qlog && { observer: qlog.observer }),
  });
  const tracing = config.traces ? await openTracing(config.name) : undefined;
  const sockets = await openSockets(config, config.tunnel ?? bindAddress(tunnel), cluster, log);
  opened.push(...sockets);
  backend = new RunningBackend(
    config,
    log,
    { endpoint, sockets, files: { certificate, cluster, tokens }, connectionIds, qlogOnDemand, tracing },
    env,
    hooks,
  );
  opened.splice(0, opened.length, backend);
  await backend.listenTcp(config.tcp ?? (tcp && bindAddress(tcp)));
  await backend.listenOperators();
  return backend;
}
