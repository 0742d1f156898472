import { z } from 'zod';
import { fromHex, toHex } from '../wire/index.ts';
import { type HostAndPort, parseHostAndPort } from './cluster-hosts.ts';
import type { ServerIds } from './decoder.ts';

/** Workers of one backend, each a process; and machines or pods that one entry may stand for. */
export const MAX_WORKERS = 128;
const MAX_REPLICAS = 10_000;
const MAX_PORT = 65_535;
/** Stands for the number of a replica in `name`, `tunnel` and `tcp`, counted from 0. */
const ORDINAL = '{ordinal}';

export const hexSchema = (octets?: number) =>
  z
    .string('must be a string of hex digits')
    .refine(
      (text) => fromHex(text) !== undefined && (octets === undefined || text.length === octets * 2),
      octets === undefined
        ? 'must be hex of whole octets'
        : `must be ${octets} octets as ${octets * 2} hex digits`,
    );

const address = z
  .string('must be a string')
  .refine(
    (text) => parseHostAndPort(text.replace(ORDINAL, '0')) !== undefined,
    'must be an address and port such as 127.0.0.1:5001 or [::1]:5001, or a host name and port',
  );

/** The first server ID, from which others are counted, or all of them. */
const serverId = z.union([hexSchema(), z.array(hexSchema()).min(1)]);

/** One entry of `backends`: a process, or with `workers` or `replicas` several that are counted through. */
export const backendSchema = z.strictObject({
  name: z.string('must be a string').min(1, 'must not be empty').max(64, 'must have at most 64 characters'),
  serverId: z.union(
    [serverId, z.record(z.string(), serverId)],
    'must be hex, a list of hex, or an object of these by config rotation',
  ),
  tunnel: address,
  /** Where it takes TCP connections, those of forwarders with the PROXY protocol. Absent: it takes none. */
  tcp: address.optional(),
  /** Processes of this backend, each with a server ID and ports of its own. Absent: one, and no number in its name. */
  workers: z
    .int('must be a whole number')
    .min(1, 'must be 1 at least')
    .max(MAX_WORKERS, `must be ${MAX_WORKERS} at most`)
    .optional(),
  /** Machines or pods that this entry stands for; `{ordinal}` in its texts is then their number. */
  replicas: z
    .int('must be a whole number')
    .min(1, 'must be 1 at least')
    .max(MAX_REPLICAS, `must be ${MAX_REPLICAS} at most`)
    .optional(),
});

type Entry = z.output<typeof backendSchema>;

/** One process that takes calls. */
export interface ExpandedBackend {
  readonly name: string;
  readonly serverIds: ServerIds;
  readonly tunnel: HostAndPort;
  readonly tcp: HostAndPort | undefined;
}

/** The name of a worker of the backend called `name`. */
export function workerName(name: string, worker: number): string {
  return `${name}/${worker}`;
}

/** `octets` plus `add`, as a number whose first octet counts most; `undefined` when it does not fit. */
function plus(octets: Uint8Array, add: number): Uint8Array | undefined {
  const sum = octets.slice();
  let carry = add;
  for (let i = sum.length - 1; i >= 0 && carry > 0; i--) {
    carry += sum[i] as number;
    sum[i] = carry & 0xff;
    carry = Math.floor(carry / 256);
  }
  return carry === 0 ? sum : undefined;
}

class Expansion {
  readonly backends: ExpandedBackend[] = [];
  readonly faults: string[] = [];
  readonly #rotations: readonly number[];

  constructor(rotations: readonly number[]) {
    this.#rotations = rotations;
  }

  add(entry: Entry): void {
    const { name, tunnel, tcp, workers, replicas } = entry;
    const places = [name, tunnel].filter((text) => text.includes(ORDINAL)).length;
    if (replicas !== undefined && places < 2) {
      this.faults.push(
        `Backend ${name} has replicas, but its name and its tunnel do not both hold ${ORDINAL}.`,
      );
      return;
    }
    if (replicas === undefined && places > 0) {
      this.faults.push(`Backend ${name} holds ${ORDINAL}, but has no replicas to count.`);
      return;
    }
    for (let ordinal = 0; ordinal < (replicas ?? 1); ordinal++) {
      const fill = (text: string) => text.replaceAll(ORDINAL, String(ordinal));
      for (let worker = 0; worker < (workers ?? 1); worker++) {
        const place = ordinal * (workers ?? 1) + worker;
        const own = workers === undefined ? fill(name) : workerName(fill(name), worker);
        this.backends.push({
          name: own,
          serverIds: this.#serverIds(entry, own, place),
          tunnel: this.#address(fill(tunnel), worker, own),
          tcp: tcp === undefined ? undefined : this.#address(fill(tcp), worker, own),
        });
        if (this.faults.length > 0) return;
      }
    }
  }

  #address(text: string, worker: number, name: string): HostAndPort {
    const { host, port } = parseHostAndPort(text) ?? { host: '', port: 0 };
    if (host === '') this.faults.push(`Backend ${name} would have the address ${text}, which is none.`);
    if (port + worker > MAX_PORT)
      this.faults.push(
        `Backend ${name} would have port ${port + worker}; the ports of workers are counted up from ${port}.`,
      );
    return { host, port: port + worker };
  }

  #serverIds({ serverId }: Entry, name: string, place: number): ServerIds {
    const ids = new Map<number, Uint8Array>();
    for (const rotation of this.#rotations) {
      const byRotation = typeof serverId === 'string' || Array.isArray(serverId) ? undefined : serverId;
      const written =
        byRotation === undefined ? (serverId as string | string[]) : byRotation[String(rotation)];
      if (written === undefined) continue;
      const id = this.#serverIdAt(written, name, place);
      if (id !== undefined) ids.set(rotation, id);
    }
    return ids;
  }

  #serverIdAt(written: string | readonly string[], name: string, place: number): Uint8Array | undefined {
    if (typeof written !== 'string') {
      const listed = written[place];
      if (listed !== undefined) return fromHex(listed);
      this.faults.push(`Backend ${name} has no serverId: the list holds ${written.length}.`);
      return undefined;
    }
    const first = fromHex(written) ?? new Uint8Array();
    const id = plus(first, place);
    if (id === undefined)
      this.faults.push(
        `Backend ${name} has no serverId: ${place} more than ${toHex(first)} needs more than ${first.length} octets.`,
      );
    return id;
  }
}

/** The processes that entries stand for, with their server IDs of these config rotations; or one sentence per fault. */
export function expandBackends(
  entries: readonly Entry[],
  rotations: readonly number[],
  limit: number,
):
  | { readonly ok: true; readonly backends: readonly ExpandedBackend[] }
  | { readonly ok: false; readonly faults: string[] } {
  const count = entries.reduce((sum, { workers = 1, replicas = 1 }) => sum + workers * replicas, 0);
  if (count > limit)
    return { ok: false, faults: [`backends stand for ${count} processes; a cluster has at most ${limit}.`] };
  const expansion = new Expansion(rotations);
  for (const entry of entries) expansion.add(entry);
  const { backends, faults } = expansion;
  return faults.length === 0 ? { ok: true, backends } : { ok: false, faults };
}
