import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Counters } from '../../lb/counters.ts';
import { createRegistry } from '../../lb/metrics.ts';
import { describeMetrics, type MetricDescription } from '../../net/metrics.ts';
import { supervisorRegistry } from '../../net/workers/index.ts';
import { QuicEndpoint } from '../../proto/quic/index.ts';
import { ERROR_RETRY, SessionCloseCode, StreamCode } from '../../proto/voice/index.ts';
import { CallTimings } from '../../server/calls/index.ts';
import { addClusterMetrics, BackendMetrics } from '../../server/metrics.ts';
import { randomConnectionIds, seededRandom } from './quic-fixtures.ts';

/** The repository's folder. */
export const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..');

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');

const code = (text: string | number): string => `\`${text}\``;

/** The comment before each name that `names` finds within a declaration of a source file, on one line. */
function commentsIn(path: string, declaration: RegExp, names: RegExp): Map<string, string> {
  const source = readFileSync(join(ROOT, path), 'utf8');
  const found = declaration.exec(source);
  if (found === null) throw new Error(`${path} has no ${declaration}`);
  const body = source.slice(found.index + found[0].length);
  const comments = new Map<string, string>();
  const all = new RegExp(`/\\*\\*([\\s\\S]*?)\\*/\\s*${names.source}`, 'g');
  for (const [, comment, name] of body.slice(0, body.search(/^}|;\n/m)).matchAll(all))
    comments.set(name!, comment!.replace(/\s*\n\s*\* ?/g, ' ').trim());
  return comments;
}

/** The comment of a name. Throws where there is none: a table has no empty meaning. */
function commentOf(comments: ReadonlyMap<string, string>, name: string): string {
  const comment = comments.get(name);
  if (comment === undefined) throw new Error(`${name} has no comment`);
  return comment;
}

function codeTable(name: string, codes: Readonly<Record<string, number>>): string {
  const comments = commentsIn('proto/voice/codes.ts', new RegExp(`const ${name} = {`), /([A-Z_]+): \d/);
  const rows = Object.entries(codes).map(([key, value]) => [
    String(value),
    code(key),
    commentOf(comments, key),
  ]);
  return table(['code', 'name', 'meaning'], rows);
}

function errorTable(): string {
  const comments = commentsIn('proto/voice/codes.ts', /const ERROR_RETRY = {/, /([a-z_]+): (?:true|false)/);
  const rows = Object.entries(ERROR_RETRY).map(([key, retry]) => [
    code(key),
    String(retry),
    commentOf(comments, key),
  ]);
  return table(['code', 'retry', 'meaning'], rows);
}

function callErrorTable(): string {
  const comments = commentsIn('browser/errors.ts', /type CallErrorCode =/, /\| '([a-z_]+)'/);
  return table(
    ['code', 'meaning'],
    [...comments].map(([key, comment]) => [code(key), comment]),
  );
}

const metricTable = (metrics: readonly MetricDescription[]): string =>
  table(
    ['name', 'type', 'meaning'],
    metrics.map(({ name, type, help }) => [code(name), type, help]),
  );

export function backendMetrics(): Promise<MetricDescription[]> {
  const random = seededRandom(1);
  const endpoint = new QuicEndpoint({ random, connectionIdGenerator: randomConnectionIds(random) });
  const metrics = new BackendMetrics(
    endpoint,
    [],
    () => 0,
    () => 0,
  );
  addClusterMetrics(metrics.registry, { reloads: 0, reloadFaults: 0, nameSilences: 0 }, { left: 0 });
  new CallTimings(metrics.registry);
  return describeMetrics(metrics.registry);
}

export function forwarderMetrics(): Promise<MetricDescription[]> {
  const source = {
    counters: new Counters(),
    states: () => new Map(),
    kernelDrops: () => 0,
    tcpConnections: () => 0,
  };
  return describeMetrics(createRegistry(source));
}

/** Those of a supervisor, beside what its workers count. */
export const workerMetrics = (): Promise<MetricDescription[]> => describeMetrics(supervisorRegistry([]));

/** Every table of `docs/` that is made from the code, by its name. */
export async function docTables(): Promise<Readonly<Record<string, string>>> {
  return {
    'call-errors': callErrorTable(),
    'error-codes': errorTable(),
    'close-codes': codeTable('SessionCloseCode', SessionCloseCode),
    'stream-codes': codeTable('StreamCode', StreamCode),
    'backend-metrics': metricTable(await backendMetrics()),
    'forwarder-metrics': metricTable(await forwarderMetrics()),
    'worker-metrics': metricTable(await workerMetrics()),
  };
}

/** Pages that hold such tables. */
export const TABLE_PAGES = ['docs/errors.md', 'docs/metrics.md'] as const;

const BLOCK = /<!-- made by npm run docs: ([a-z-]+) -->\n[\s\S]*?<!-- end -->/g;

/** The names of the tables that a page holds. */
export function tableNames(page: string): string[] {
  return [...page.matchAll(BLOCK)].map(([, name]) => name!);
}

/** A page with its tables made anew. Throws for a table that is not known. */
export function withTables(page: string, tables: Readonly<Record<string, string>>): string {
  return page.replace(BLOCK, (_, name: string) => {
    const made = tables[name];
    if (made === undefined) throw new Error(`there is no table called ${name}`);
    return `<!-- made by npm run docs: ${name} -->\n${made}\n<!-- end -->`;
  });
}
