import { readFileSync } from 'node:fs';

type NodeField = 'type' | 'name' | 'id' | 'self_size' | 'edge_count';

/** What is used of a snapshot that `v8.writeHeapSnapshot` wrote. */
export interface RawSnapshot {
  readonly snapshot: {
    readonly meta: {
      readonly node_fields: readonly string[];
      readonly node_types: readonly [readonly string[], ...unknown[]];
      readonly edge_fields: readonly string[];
      readonly edge_types: readonly [readonly string[], ...unknown[]];
    };
  };
  readonly nodes: readonly number[];
  readonly edges: readonly number[];
  readonly strings: readonly string[];
}

/** The objects of one name, and the octets of themselves, without those that they lead to. */
export interface HeapShare {
  readonly name: string;
  readonly objects: number;
  readonly octets: number;
}

/** What a snapshot has, to be told apart from what a later one has. */
export interface HeapInventory {
  readonly lastId: number;
  readonly outside: ReadonlySet<number>;
}

/** No node: what leads to the root. */
const NONE = -1;
const ROOT = 0;

/** A snapshot of V8's heap: its objects, and which other object keeps each alive. */
export class HeapSnapshot {
  readonly #raw: RawSnapshot;
  readonly #fields: Record<NodeField, number>;
  readonly #nodeFields: number;
  readonly count: number;
  /** First of each node's edges, which lie in the order of nodes; one more at the end. */
  readonly #firstEdge: Uint32Array;
  /** Where each edge leads; NONE for a weak one, which keeps nothing alive. */
  readonly #targets: Int32Array;

  constructor(raw: RawSnapshot) {
    const { node_fields: names } = raw.snapshot.meta;
    const place = (name: NodeField) => names.indexOf(name);
    this.#raw = raw;
    this.#fields = {
      type: place('type'),
      name: place('name'),
      id: place('id'),
      self_size: place('self_size'),
      edge_count: place('edge_count'),
    };
    this.#nodeFields = names.length;
    this.count = raw.nodes.length / names.length;
    this.#firstEdge = new Uint32Array(this.count + 1);
    for (let node = 0; node < this.count; node++)
      this.#firstEdge[node + 1] = this.#firstEdge[node]! + this.#field(node, 'edge_count');
    this.#targets = this.#readTargets();
  }

  static read(path: string): HeapSnapshot {
    return new HeapSnapshot(JSON.parse(readFileSync(path, 'utf8')) as RawSnapshot);
  }

  #field(node: number, field: NodeField): number {
    return this.#raw.nodes[node * this.#nodeFields + this.#fields[field]]!;
  }

  #readTargets(): Int32Array {
    const { edges, snapshot } = this.#raw;
    const { edge_fields: names, edge_types: types } = snapshot.meta;
    const [typeAt, targetAt] = [names.indexOf('type'), names.indexOf('to_node')];
    const weak = types[0].indexOf('weak');
    const targets = new Int32Array(edges.length / names.length);
    for (let edge = 0; edge < targets.length; edge++) {
      const at = edge * names.length;
      targets[edge] = edges[at + typeAt] === weak ? NONE : edges[at + targetAt]! / this.#nodeFields;
    }
    return targets;
  }

  #type(node: number): string {
    return this.#raw.snapshot.meta.node_types[0][this.#field(node, 'type')]!;
  }

  /** Whether it lies outside of V8's heap, or is made up for the snapshot. */
  #isOutside(node: number): boolean {
    const type = this.#type(node);
    return type === 'native' || type === 'synthetic';
  }

  /**
   * V8 numbers objects as snapshots first see them, so that what an earlier one did not have has a larger number than all of its. What
   * lies outside of the heap has a number of another kind.
   */
  inventory(): HeapInventory {
    const outside = new Set<number>();
    let lastId = 0;
    for (let node = 0; node < this.count; node++) {
      const id = this.#field(node, 'id');
      if (this.#isOutside(node)) outside.add(id);
      else lastId = Math.max(lastId, id);
    }
    return { lastId, outside };
  }

  isIn(node: number, { lastId, outside }: HeapInventory): boolean {
    const id = this.#field(node, 'id');
    return this.#isOutside(node) ? outside.has(id) : id <= lastId;
  }

  octets(node: number): number {
    return this.#field(node, 'self_size');
  }

  /** The constructor of an object, and the type of whatever else lies in the heap. */
  name(node: number): string {
    const type = this.#type(node);
    const name = this.#raw.strings[this.#field(node, 'name')]!;
    // esbuild numbers classes of one name.
    if (type === 'object') return name.replace(/(?<=[a-z])\d$/, '');
    if (type === 'native' || type === 'synthetic') return name;
    if (type === 'hidden' || type === 'array' || type === 'object shape') return `(${type}) ${name}`.trim();
    return `(${type})`;
  }

  /** Of each node the one that all ways from the root pass, nearest to it (Cooper, Harvey and Kennedy); NONE without a way. */
  dominators(): Int32Array {
    const order = this.#postorder();
    const place = new Int32Array(this.count).fill(NONE);
    for (let i = 0; i < order.length; i++) place[order[i]!] = i;
    const { first, sources } = this.#sources();
    const dominators = new Int32Array(this.count).fill(NONE);
    dominators[ROOT] = ROOT;
    for (let changed = true; changed; ) {
      changed = false;
      for (let i = order.length - 2; i >= 0; i--) {
        const node = order[i]!;
        let found = NONE;
        for (let at = first[node]!; at < first[node + 1]!; at++) {
          let source = sources[at]!;
          if (dominators[source] === NONE) continue;
          while (found !== NONE && found !== source) {
            if (place[found]! < place[source]!) found = dominators[found]!;
            else source = dominators[source]!;
          }
          found = source;
        }
        if (dominators[node] === found) continue;
        dominators[node] = found;
        changed = true;
      }
    }
    dominators[ROOT] = NONE;
    return dominators;
  }

  /** Nodes that can be reached, each behind those it was the way to; the root last. */
  #postorder(): Int32Array {
    const order = new Int32Array(this.count);
    const seen = new Uint8Array(this.count);
    const next = this.#firstEdge.slice();
    const stack = [ROOT];
    seen[ROOT] = 1;
    let length = 0;
    while (stack.length > 0) {
      const node = stack[stack.length - 1]!;
      const edge = next[node]!;
      if (edge === this.#firstEdge[node + 1]) {
        order[length++] = node;
        stack.pop();
        continue;
      }
      next[node] = edge + 1;
      const target = this.#targets[edge]!;
      if (target === NONE || seen[target] === 1) continue;
      seen[target] = 1;
      stack.push(target);
    }
    return order.subarray(0, length);
  }

  /** The edges the other way round: those that lead to a node, by the same kind of table. */
  #sources(): { readonly first: Uint32Array; readonly sources: Int32Array } {
    const first = new Uint32Array(this.count + 1);
    for (const target of this.#targets) if (target !== NONE) first[target + 1]!++;
    for (let node = 0; node < this.count; node++) first[node + 1]! += first[node]!;
    const sources = new Int32Array(first[this.count]!);
    const next = first.slice();
    for (let node = 0; node < this.count; node++)
      for (let edge = this.#firstEdge[node]!; edge < this.#firstEdge[node + 1]!; edge++) {
        const target = this.#targets[edge]!;
        if (target !== NONE) sources[next[target]!++] = node;
      }
    return { first, sources };
  }
}

/** Objects that an earlier snapshot did not have. */
export interface HeapGrowth {
  /** By the part that keeps them alive. */
  readonly parts: readonly HeapShare[];
  /** By part and constructor. */
  readonly classes: readonly HeapShare[];
}

/**
 * What came since an earlier snapshot. An object belongs to the part of the nearest object on its way to
 * the root that `partOf` knows by its constructor.
 */
export function heapGrowth(
  snapshot: HeapSnapshot,
  earlier: HeapInventory,
  partOf: (constructorName: string) => string | undefined,
): HeapGrowth {
  const dominators = snapshot.dominators();
  const parts = new Map<string, { objects: number; octets: number }>();
  const classes = new Map<string, { objects: number; octets: number }>();
  const names = new Map<number, string | undefined>();
  const partAt = (node: number): string => {
    const way: number[] = [];
    let part: string | undefined;
    let at = node;
    while (at !== NONE && part === undefined) {
      part = names.has(at) ? names.get(at) : partOf(snapshot.name(at));
      way.push(at);
      at = dominators[at]!;
    }
    part ??= 'other';
    for (const passed of way) names.set(passed, part);
    return part;
  };
  const add = (table: typeof parts, name: string, octets: number) => {
    const share = table.get(name) ?? { objects: 0, octets: 0 };
    share.objects += 1;
    share.octets += octets;
    table.set(name, share);
  };
  for (let node = 0; node < snapshot.count; node++) {
    if (snapshot.isIn(node, earlier)) continue;
    const part = partAt(node);
    add(parts, part, snapshot.octets(node));
    add(classes, `${part}: ${snapshot.name(node)}`, snapshot.octets(node));
  }
  return { parts: sorted(parts), classes: sorted(classes) };
}

function sorted(table: ReadonlyMap<string, { objects: number; octets: number }>): HeapShare[] {
  return [...table].map(([name, share]) => ({ name, ...share })).sort((a, b) => b.octets - a.octets);
}
