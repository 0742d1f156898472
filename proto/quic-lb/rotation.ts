import { equalOctets } from '../wire/index.ts';
import type { ClusterConfig } from './cluster-file.ts';
import { connectionIdLength, type QuicLbConfig } from './types.ts';

/** Codepoints of config rotation that a configuration may have: 0b111 is kept for unroutable CIDs (draft §3.1). */
const CODEPOINTS = 7;

/**
 * Where a cluster stands between two configurations. `settled`: it has one. `announced`: the next one is known, and not
 * issued yet. `moving`: the next one is issued, and the last one still decoded. `unclear`: its entries are not those of
 * `advanceRotation`, which counts rotations up, so only a person can say.
 */
export type RotationPhase =
  | { readonly phase: 'settled'; readonly issued: number }
  | { readonly phase: 'announced'; readonly issued: number; readonly next: number }
  | { readonly phase: 'moving'; readonly issued: number; readonly last: number }
  | { readonly phase: 'unclear'; readonly issued: number };

interface Rotated {
  readonly configRotation: number;
}

const nextOf = (rotation: number) => (rotation + 1) % CODEPOINTS;

/** The phase that the entries of `quicLb` say, the first being the one that CIDs are issued with. */
export function rotationPhase(quicLb: readonly Rotated[]): RotationPhase {
  const [first, second, ...more] = quicLb.map(({ configRotation }) => configRotation);
  const issued = first ?? 0;
  if (second === undefined) return { phase: 'settled', issued };
  if (more.length > 0) return { phase: 'unclear', issued };
  if (second === nextOf(issued)) return { phase: 'announced', issued, next: second };
  if (issued === nextOf(second)) return { phase: 'moving', issued, last: second };
  return { phase: 'unclear', issued };
}

/**
 * What keeps a running process from taking up a changed cluster, one sentence each: a codepoint that comes back with another key
 * or another layout, so that one CID would have two owners (draft §3.1), and CIDs of another length, as a short header does not
 * say how long its CID is.
 */
export function reuseFaults(before: ClusterConfig, after: ClusterConfig): string[] {
  const faults: string[] = [];
  for (const config of after.quicLb) {
    const known = before.quicLb.find(({ configRotation }) => configRotation === config.configRotation);
    if (known !== undefined && !isSame(known, config))
      faults.push(
        `Config rotation ${config.configRotation} is in use with another key or layout; give the new entry of quicLb a configRotation that is free.`,
      );
  }
  return faults;
}

function isSame(a: QuicLbConfig, b: QuicLbConfig): boolean {
  const sameKey = a.key === undefined || b.key === undefined ? a.key === b.key : equalOctets(a.key, b.key);
  return (
    sameKey &&
    a.serverIdLength === b.serverIdLength &&
    a.firstOctetEncodesLength === b.firstOctetEncodesLength &&
    connectionIdLength(a) === connectionIdLength(b)
  );
}

/** What `advanceRotation` made of a cluster file. */
export interface RotationStep {
  /** The file's content after this step. */
  readonly file: Record<string, unknown>;
  /** What was done, and what to see before the next step, as two sentences. */
  readonly done: string;
  readonly next: string;
}

type Json = Record<string, unknown>;

/**
 * The next cluster file of a rotation, from the content of the one in use, which must be sound: from `settled` to `announced`, to
 * `moving`, to `settled`. `newKey` is what the new entry gets as its `key`, in the form that the file has keys in. Returns a
 * sentence when the phase is unclear.
 */
export function advanceRotation(file: Json, newKey: (rotation: number) => unknown): RotationStep | string {
  const entries = file.quicLb as (Json & Rotated)[];
  const now = rotationPhase(entries);
  const [first, second] = entries;
  switch (now.phase) {
    case 'settled': {
      const next = nextOf(now.issued);
      const { key, ...layout } = first as Json & Rotated;
      const entry = { ...layout, configRotation: next, ...(key !== undefined && { key: newKey(next) }) };
      const backends = (file.backends as Json[]).map((backend) => withServerId(backend, now.issued, next));
      return {
        file: { ...file, quicLb: [first, entry], backends },
        done: `Config rotation ${next} is announced; ${now.issued} is issued still.`,
        next: `Once every forwarder and backend has read this file, rotate again: backends then issue CIDs of ${next}.`,
      };
    }
    case 'announced':
      return {
        file: { ...file, quicLb: [second, first] },
        done: `Config rotation ${now.next} is issued now, and connections move to it; ${now.issued} is decoded still.`,
        next: `Once forwarders count no packets of rotation ${now.issued} any more, rotate again: it is then taken out.`,
      };
    case 'moving':
      return {
        file: { ...file, quicLb: [first] },
        done: `Config rotation ${now.last} is taken out; ${now.issued} is the only one.`,
        next: 'The rotation is done.',
      };
    case 'unclear':
      return 'quicLb holds entries that are not one rotation and the next, so which one comes and which one goes is not known; leave one or two, their configRotation counted up (6 is followed by 0).';
  }
}

/** Server IDs by config rotation want one for the new rotation too: the same, which a key makes look different. */
function withServerId(backend: Json, last: number, next: number): Json {
  const { serverId } = backend;
  if (typeof serverId !== 'object' || serverId === null || Array.isArray(serverId)) return backend;
  const byRotation = serverId as Json;
  return { ...backend, serverId: { [String(next)]: byRotation[String(last)], ...byRotation } };
}
