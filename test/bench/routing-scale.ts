import { createHash } from 'node:crypto';
import { pathToFileURL } from 'node:url';
import { type Decision, RoutingTable, route } from '../../lb/route.ts';
import type { ClusterConfig } from '../../proto/quic-lb/index.ts';
import { formatIp, IP_OCTETS } from '../../proto/wire/index.ts';
import { readArguments } from '../support/arguments.ts';

/** How large a cluster is, and how much of it is asked. */
export interface ScalePlan {
  readonly backends: number;
  readonly forwarders: number;
  /** Clients whose first packet is routed, for the spread and for what moves. */
  readonly clients: number;
  /** Of them, those that every forwarder is asked for. */
  readonly asked: number;
}

/** What came of it. */
export interface ScaleResult {
  /** Clients of a backend, least and most, as shares of an even spread; and the standard deviation. */
  readonly spread: { readonly least: number; readonly most: number; readonly deviation: number };
  /** Share of clients that another backend has after one has left, and joined again; an even share is 1 / backends. */
  readonly movedByLeave: number;
  readonly movedByJoin: number;
  /** Clients of a backend that stayed, which the leaving of another moved. None must. */
  readonly strayed: number;
  /** Decisions of forwarders that were not those of the first. None must be. */
  readonly disagreements: number;
  /** Nanoseconds for a packet of a newcomer whose slot was asked for before, and for one whose was not. */
  readonly knownNs: number;
  readonly firstNs: number;
  /** Milliseconds that the joining of a backend costs a forwarder. */
  readonly joinMs: number;
}

function clusterOf(count: number): ClusterConfig {
  const backends = Array.from({ length: count }, (_, i) => {
    const serverId = Uint8Array.of(0, 0, 0, 0, i >>> 24, i >>> 16, i >>> 8, i);
    const tunnel = { host: '10.0.0.1', port: 5001 };
    return { name: `backend-${i}`, serverId, serverIds: new Map([[0, serverId]]), tunnel };
  });
  return {
    quicLb: [
      {
        configRotation: 0,
        serverIdLength: 8,
        nonceLength: 8,
        key: new Uint8Array(16).fill(1),
        firstOctetEncodesLength: true,
      },
    ],
    routingKey: new Uint8Array(32).fill(2),
    statelessResetKey: new Uint8Array(32).fill(3),
    ticketKey: undefined,
    backends,
    forwarders: [],
    callHost: undefined,
    tunnelTag: 'require',
  };
}

interface Newcomer {
  readonly address: { readonly host: string; readonly port: number };
  readonly packet: Uint8Array;
}

/** A client's first packet: a long header with a CID that it made up, of 8 octets, so that it is unroutable. */
function newcomer(index: number): Newcomer {
  const digest = createHash('sha256').update(`client ${index}`).digest();
  const packet = new Uint8Array(1200);
  packet.set([0xc0, 0, 0, 0, 1, 8]);
  packet.set(digest.subarray(0, 8), 6);
  // A rotation that no configuration has.
  packet[6] = 0xe0 | ((packet[6] as number) & 0x1f);
  const octets = new Uint8Array(IP_OCTETS);
  octets.set([0x20, 0x01, 0x0d, 0xb8]);
  octets.set(digest.subarray(8, 20), 4);
  return { address: { host: formatIp(octets), port: 1024 + (digest.readUInt16BE(20) % 60_000) }, packet };
}

const backendOf = (decision: Decision): number => ('backend' in decision ? decision.backend : -1);

/** Processor time since then, in ms: what the clock says means little on a busy machine. */
function cpuMs(since: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / 1000;
}

function routeAll(table: RoutingTable, clients: readonly Newcomer[]): { picks: Int32Array; nsEach: number } {
  const started = process.cpuUsage();
  const picks = Int32Array.from(clients, ({ packet, address }) => backendOf(route(packet, address, table)));
  return { picks, nsEach: (cpuMs(started) * 1e6) / clients.length };
}

const share = (a: Int32Array, b: Int32Array) =>
  a.reduce((sum, pick, i) => sum + (pick === b[i] ? 0 : 1), 0) / a.length;

function spreadOf(picks: Int32Array, backends: number): ScaleResult['spread'] {
  const counts = new Float64Array(backends);
  for (const pick of picks) counts[pick] = (counts[pick] as number) + 1;
  const even = picks.length / backends;
  const variance = counts.reduce((sum, count) => sum + (count / even - 1) ** 2, 0) / backends;
  return {
    least: Math.min(...counts) / even,
    most: Math.max(...counts) / even,
    deviation: Math.sqrt(variance),
  };
}

/** Routes first packets of clients as forwarders do, in one process and without a network. */
export function routingScale({ backends, forwarders, clients: count, asked }: ScalePlan): ScaleResult {
  const cluster = clusterOf(backends);
  const clients = Array.from({ length: count }, (_, i) => newcomer(i));
  const table = new RoutingTable(cluster);
  const first = routeAll(table, clients);
  const known = routeAll(table, clients);
  const leaver = first.picks[0] as number;
  table.setState(leaver, 'silent');
  const without = routeAll(table, clients).picks;
  const strayed = without.filter((pick, i) => first.picks[i] !== leaver && pick !== first.picks[i]).length;
  const joined = process.cpuUsage();
  table.setState(leaver, 'taking new');
  const joinMs = cpuMs(joined);
  const again = routeAll(table, clients).picks;
  let disagreements = share(again, first.picks) * count;
  const some = clients.slice(0, asked);
  for (let forwarder = 1; forwarder < forwarders; forwarder++) {
    const { picks } = routeAll(new RoutingTable(cluster), some);
    for (const [i, pick] of picks.entries()) if (pick !== first.picks[i]) disagreements++;
  }
  return {
    spread: spreadOf(first.picks, backends),
    movedByLeave: share(first.picks, without),
    movedByJoin: share(without, again),
    strayed,
    disagreements,
    knownNs: known.nsEach,
    firstNs: first.nsEach,
    joinMs,
  };
}

const USAGE =
  'usage: npm run bench:routing -- [--backends 10000] [--forwarders 1000] [--clients 1000000] [--asked 50]\n';

function main(): void {
  const values = readArguments(
    USAGE,
    {
      backends: { type: 'string', default: '10000' },
      forwarders: { type: 'string', default: '1000' },
      clients: { type: 'string', default: '1000000' },
      asked: { type: 'string', default: '50' },
    },
    { least: { backends: 1, forwarders: 1, clients: 1, asked: 1 } },
  );
  const [backends, forwarders, clients, asked] = [
    values.backends,
    values.forwarders,
    values.clients,
    values.asked,
  ].map(Number);
  process.stdout.write(
    'backends | known slot, ns | first of a slot, ns | join, ms | least | most | deviation | moved by leave | by join | strayed\n',
  );
  for (const each of [10, 100, 1000, backends as number]) {
    const plan = { backends: each, forwarders: 1, clients: clients as number, asked: asked as number };
    const { spread, ...result } = routingScale(plan);
    const cells = [each, Math.round(result.knownNs), Math.round(result.firstNs), result.joinMs.toFixed(1)];
    const shares = [spread.least, spread.most, spread.deviation].map((value) => value.toFixed(3));
    const moved = [result.movedByLeave, result.movedByJoin].map(
      (value) => `${value.toExponential(2)} (even: ${(1 / each).toExponential(2)})`,
    );
    process.stdout.write(`${[...cells, ...shares, ...moved, result.strayed].join(' | ')}\n`);
  }
  const { disagreements } = routingScale({
    backends: backends as number,
    forwarders: forwarders as number,
    clients: 1000,
    asked: asked as number,
  });
  process.stdout.write(
    `${forwarders} forwarders, ${asked} clients each: ${disagreements} decisions differ\n`,
  );
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) main();
