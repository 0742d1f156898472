import { Gauge, type Registry } from 'prom-client';
import { readCounter } from '../../net/metrics.ts';
import type { TcpListener } from './listener.ts';

/** What operators see of the TCP port. */
export function addTcpMetrics(registry: Registry, listener: () => TcpListener | undefined): void {
  const gauge = (name: string, help: string, read: (tcp: TcpListener) => number) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        const tcp = listener();
        this.set(tcp === undefined ? 0 : read(tcp));
      },
    });
  gauge('parley_tcp_connections', 'TCP connections that are open', (tcp) => tcp.connections);
  gauge(
    'parley_tcp_sessions',
    'Sessions over TCP that are open; parley_sessions counts them too',
    (tcp) => tcp.sessions,
  );
  const total = (name: string, help: string, read: (tcp: TcpListener) => number) =>
    readCounter(registry, name, help, [], () => [[{}, read(listener() ?? NONE) ?? 0]]);
  total('parley_tcp_accepted_total', 'TCP connections that came', (tcp) => tcp.counters.accepted);
  total('parley_tcp_sessions_total', 'Sessions that began over TCP', (tcp) => tcp.counters.sessions);
  const byReason = (
    name: string,
    help: string,
    read: (tcp: TcpListener) => Readonly<Record<string, number>>,
  ) =>
    readCounter(registry, name, help, ['reason'], () =>
      Object.entries(read(listener() ?? NONE)).map(([reason, value]) => [{ reason }, value] as const),
    );
  byReason(
    'parley_tcp_refused_total',
    'TCP connections that were not taken or had no session: full, address-full, bad-header, tls, http, no-request, idle',
    (tcp) => tcp.counters.refused,
  );
  byReason(
    'parley_tcp_session_faults_total',
    'Sessions over TCP that were ended because their client broke the protocol or a bound, by which',
    (tcp) => tcp.counters.faults,
  );
}

/** What is read before the port is open. */
const NONE = {
  connections: 0,
  sessions: 0,
  counters: { accepted: 0, sessions: 0, refused: {}, faults: {} },
} as unknown as TcpListener;
