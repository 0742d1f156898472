import { Gauge, Registry } from 'prom-client';
import { logLinesDropped } from '../net/log.ts';
import { readCounter, type Sample } from '../net/metrics.ts';
import { type OperatorHandler, plainAnswer } from '../net/operator-port.ts';
import type { BackendCounters, Counters } from './counters.ts';
import { BACKEND_STATES, type BackendState } from './route.ts';

const PREFIX = 'parley_forwarder_';

/** What the metrics are read from. */
export interface MetricsSource {
  readonly counters: Counters;
  states(): ReadonlyMap<string, BackendState>;
  /** Datagrams that full receive buffers have cost so far. */
  kernelDrops(): number;
  /** TCP connections that are passed through now. */
  tcpConnections(): number;
}

function counter(
  registry: Registry,
  name: string,
  help: string,
  labelNames: string[],
  read: () => Iterable<Sample>,
): void {
  readCounter(registry, PREFIX + name, help, labelNames, read);
}

function* perBackend(counters: Counters, read: (backend: BackendCounters) => number): Iterable<Sample> {
  for (const [backend, counts] of counters.backends) yield [{ backend }, read(counts)];
}

function* byHash(counters: Counters): Iterable<Sample> {
  for (const [backend, { byHash: reasons }] of counters.backends) {
    for (const [reason, value] of Object.entries(reasons)) yield [{ backend, reason }, value];
  }
}

/** Rotations that some packet had: the others say nothing. */
function* rotations({ routedByRotation }: Counters): Iterable<Sample> {
  for (const [rotation, packets] of routedByRotation.entries())
    if (packets > 0) yield [{ rotation: String(rotation) }, packets];
}

function* drops(counters: Counters): Iterable<Sample> {
  for (const [reason, value] of Object.entries(counters.droppedFromClients)) {
    yield [{ from: 'client', reason }, value];
  }
  for (const [reason, value] of Object.entries(counters.droppedFromBackends)) {
    yield [{ from: 'backend', reason }, value];
  }
}

function* sendFailures(counters: Counters): Iterable<Sample> {
  for (const [reason, value] of Object.entries(counters.sendFailures)) yield [{ reason }, value];
}

function* probes(counters: Counters): Iterable<Sample> {
  for (const [backend, { probesSent, probesAnswered }] of counters.backends) {
    yield [{ backend, result: 'sent' }, probesSent];
    yield [{ backend, result: 'answered' }, probesAnswered];
  }
}

/** What became of packets, by backend and by reason. */
function addPackets(registry: Registry, counters: Counters): void {
  const backend = (name: string, help: string, read: (counts: BackendCounters) => number) =>
    counter(registry, name, help, ['backend'], () => perBackend(counters, read));
  counter(registry, 'client_packets_total', 'Packets that came from clients', [], () => [
    [{}, counters.fromClients],
  ]);
  backend('routed_packets_total', 'Packets sent to the backend that their CID names', (c) => c.byCid);
  counter(
    registry,
    'unroutable_packets_total',
    'Packets whose CID names no backend, by the one the hash chose',
    ['backend', 'reason'],
    () => byHash(counters),
  );
  counter(
    registry,
    'rotation_packets_total',
    'Packets whose CID names a backend, by its config rotation: how far a rotation has come',
    ['rotation'],
    () => rotations(counters),
  );
  backend(
    'dead_owner_packets_total',
    'Packets whose CID names a dead backend, by that one',
    (c) => c.whileDead,
  );
  backend(
    'stand_in_packets_total',
    'Packets sent to a living backend in place of a dead one, by the living',
    (c) => c.forDead,
  );
  backend(
    'returned_packets_total',
    'Packets sent to clients, by the backend they came from',
    (c) => c.toClients,
  );
  backend('returned_octets_total', 'UDP payload sent to clients, without SPP', (c) => c.toClientsOctets);
  backend('forwarded_octets_total', 'UDP payload sent to backends, without SPP', (c) => c.toBackendOctets);
  counter(
    registry,
    'dropped_packets_total',
    'Packets dropped, by the side they came from and why',
    ['from', 'reason'],
    () => drops(counters),
  );
}

/** How the sockets fare. */
function addSockets(registry: Registry, source: MetricsSource): void {
  const { counters } = source;
  const total = (name: string, help: string, read: () => number) =>
    counter(registry, name, help, [], () => [[{}, read()]]);
  counter(
    registry,
    'send_errors_total',
    'Packets that the kernel refused to send: its queue was full, they were too large, their address is unreachable',
    ['reason'],
    () => sendFailures(counters),
  );
  total('oversize_packets_total', 'Datagrams dropped for their size, from any side', () => counters.oversize);
  total('batches_total', 'Times that the sockets handed over what had come', () => counters.batches);
  total(
    'kernel_dropped_packets_total',
    'Datagrams lost to full receive buffers; stays 0 with dgram sockets, which cannot tell',
    () => source.kernelDrops(),
  );
}

/** TCP connections, by what becomes of them. */
function addTcp(registry: Registry, source: MetricsSource): void {
  const { tcp } = source.counters;
  const { counters } = source;
  counter(registry, 'tcp_accepted_total', 'TCP connections of clients', [], () => [[{}, tcp.accepted]]);
  counter(
    registry,
    'tcp_ended_total',
    'TCP connections that the forwarder ended or did not take, by why',
    ['reason'],
    () => Object.entries(tcp.ended).map(([reason, value]) => [{ reason }, value] as const),
  );
  counter(registry, 'tcp_dials_total', 'TCP connections to backends, by result', ['backend', 'result'], () =>
    tcpDials(counters),
  );
  counter(
    registry,
    'tcp_steered_total',
    'TCP connections that went to the backend whose name the client asked for',
    ['backend'],
    () => [...counters.backends].map(([backend, { tcpSteered }]) => [{ backend }, tcpSteered] as const),
  );
  counter(
    registry,
    'tcp_octets_total',
    'Octets of TCP connections that have ended, by where they went',
    ['to'],
    () => [
      [{ to: 'backend' }, tcp.toBackendsOctets],
      [{ to: 'client' }, tcp.toClientsOctets],
    ],
  );
  new Gauge({
    name: `${PREFIX}tcp_connections`,
    help: 'TCP connections that are open',
    registers: [registry],
    collect() {
      this.set(source.tcpConnections());
    },
  });
}

function* tcpDials(counters: Counters): Iterable<Sample> {
  for (const [backend, { tcpConnections, tcpFailures }] of counters.backends) {
    yield [{ backend, result: 'connected' }, tcpConnections];
    yield [{ backend, result: 'failed' }, tcpFailures];
  }
}

/** A registry that reads a forwarder's counters when it is collected. */
export function createRegistry(source: MetricsSource): Registry {
  const { counters } = source;
  const registry = new Registry();
  addPackets(registry, counters);
  addSockets(registry, source);
  addTcp(registry, source);
  counter(registry, 'probes_total', 'Health probes', ['backend', 'result'], () => probes(counters));
  counter(registry, 'reloads_total', 'Cluster files taken up while running', [], () => [
    [{}, counters.reloads],
  ]);
  counter(registry, 'log_lines_dropped_total', 'Log lines that standard output did not take', [], () => [
    [{}, logLinesDropped()],
  ]);
  counter(
    registry,
    'name_silences_total',
    'Times that a host name of the cluster file had no address; what it had stays',
    [],
    () => [[{}, counters.nameSilences]],
  );
  counter(registry, 'reload_faults_total', 'Cluster files refused while running', [], () => [
    [{}, counters.reloadFaults],
  ]);
  new Gauge({
    name: `${PREFIX}backend_state`,
    help: '1 for the state that probes find the backend in',
    labelNames: ['backend', 'state'],
    registers: [registry],
    collect() {
      this.reset();
      for (const [name, current] of source.states()) {
        for (const state of BACKEND_STATES) this.set({ backend: name, state }, state === current ? 1 : 0);
      }
    },
  });
  return registry;
}

/** What operators are answered: `/metrics` for Prometheus, `/healthz` which is 200 while any backend takes new connections. */
export function operatorHandler(source: MetricsSource): OperatorHandler {
  const registry = createRegistry(source);
  return async ({ path }) => {
    if (path === '/metrics')
      return { status: 200, contentType: registry.contentType, body: await registry.metrics() };
    if (path !== '/healthz') return plainAnswer(404, 'Nothing here but /metrics and /healthz.\n');
    const isHealthy = [...source.states().values()].includes('taking new');
    return isHealthy ? plainAnswer(200, 'ok\n') : plainAnswer(503, 'no backend takes new connections\n');
  };
}
