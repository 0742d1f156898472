import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { transformSync } from 'esbuild';
import { describe, expect, it } from 'vitest';
import { FORWARDER_CONFIG_KEYS, parseForwarderConfig } from '../../../lb/config.ts';
import { clusterFileSchema, parseClusterFile } from '../../../proto/quic-lb/index.ts';
import { SPP_HEADER_OCTETS, TAG_OCTETS, TUNNEL_OVERHEAD_OCTETS } from '../../../proto/spp/index.ts';
import { MAX_MESSAGE_OCTETS, MAX_PARLEY_MESSAGE_OCTETS } from '../../../proto/voice/index.ts';
import { DEFAULT_VOICE_LIMITS } from '../../../server/bridge/context.ts';
import { BACKEND_CONFIG_KEYS, parseBackendConfig } from '../../../server/config.ts';
import { MAX_EVENT_OCTETS } from '../../../server/realtime/dial.ts';
import { docTables, ROOT, TABLE_PAGES, tableNames, withTables } from '../../support/doc-tables.ts';
import { PRIVATE_WORDS } from '../../support/plain-words.ts';
import { listSources } from '../../support/sources.ts';

const MAX_README_OCTETS = 7 * 1024;

const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
const DOCS = readdirSync(join(ROOT, 'docs'))
  .filter((name) => name.endsWith('.md'))
  .map((name) => `docs/${name}`);
const PAGES = ['examples/README.md', 'README.md', 'CONTRIBUTING.md', 'CHANGELOG.md', 'SECURITY.md', ...DOCS];
/** The voice protocol's second version is a plan: it names what is still to come. */
const TRUE_PAGES = PAGES.filter((page) => page !== 'docs/voice-protocol.md');

/** Pairs of page and what `pattern` finds there. */
const findAll = (
  pages: readonly string[],
  pattern: RegExp,
): (readonly [page: string, found: RegExpMatchArray])[] =>
  pages.flatMap((page) => [...read(page).matchAll(pattern)].map((match) => [page, match] as const));

/** The sources of the program that an npm script starts: every file of its folder. */
function programText(script: string): string {
  const main = /(\S+\.ts)(?!.*\.ts)/.exec(scripts[script] ?? '')?.[1];
  if (main === undefined) return '';
  const folder = dirname(main);
  return readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith('.ts'))
    .map((name) => read(join(folder, name)))
    .join('\n');
}

/** Headings of a page as GitHub names their anchors. */
const anchors = (page: string): string[] =>
  [...read(page).matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-'),
  );

describe('README and docs keep to the tree', () => {
  it('the README is short', () => {
    expect(Buffer.byteLength(read('README.md'))).toBeLessThanOrEqual(MAX_README_OCTETS);
  });

  it('every page of docs is named in the README', () => {
    const readme = read('README.md');
    expect(DOCS.filter((page) => !readme.includes(`](${page})`))).toEqual([]);
  });

  it('they name only npm scripts that exist', () => {
    const named = findAll(PAGES, /npm run ([a-z]+(?::[a-z]+(?:-[a-z]+)*)*)/g);
    expect(named.length).toBeGreaterThan(15);
    expect(named.filter(([, [, name]]) => scripts[name!] === undefined).map(String)).toEqual([]);
  });

  it('they give these only flags that they know', () => {
    const commands = findAll(PAGES, /npm (?:run )?([a-z:-]+) -- ([^`\n#]*)/g);
    const unknown = commands.flatMap(([page, [, script, rest]]) => {
      const text = programText(script!);
      const flags = [...rest!.matchAll(/--([a-z][a-z-]*)/g)].map(([, flag]) => flag!);
      return flags
        .filter((flag) => !new RegExp(`['-]${flag}\\b|^ *${flag}: `, 'm').test(text))
        .map((flag) => `${page}: ${script} --${flag}`);
    });
    expect(commands.length).toBeGreaterThan(8);
    expect(unknown).toEqual([]);
  });

  it('they run only test projects and test files that exist', () => {
    const projects = read('vitest.config.ts');
    const runs = findAll(PAGES, /vitest run --project ([a-z\d-]+)(?: (test\/[\w/.-]*))?/g);
    expect(runs.length).toBeGreaterThan(4);
    for (const [page, [, project, path]] of runs) {
      expect(projects, page).toContain(`'${project}'`);
      if (path === undefined) continue;
      expect(existsSync(join(ROOT, path)) || existsSync(join(ROOT, `${path}.test.ts`)), path).toBe(true);
    }
  });

  it('they name only files and folders that exist', () => {
    const paths = findAll(
      TRUE_PAGES,
      /(?<![\w/.])((?:proto|server|net|lb|browser|certs|test|docs)\/[\w./-]*)/g,
    );
    expect(paths.length).toBeGreaterThan(30);
    const missing = paths
      .map(([page, [, path]]) => ({ page, path: path!.replace(/\.$/, '') }))
      .filter(({ path }) => !existsSync(join(ROOT, path)) && !existsSync(join(ROOT, `${path}.test.ts`)));
    expect(missing).toEqual([]);
  });

  it('their links lead to files and headings that are there', () => {
    const links = findAll(PAGES, /\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g);
    expect(links.length).toBeGreaterThan(20);
    const broken = links.filter(([page, [, path, anchor]]) => {
      const target = path === '' ? page : join(dirname(page), path!);
      if (!existsSync(join(ROOT, target))) return true;
      return (
        anchor !== undefined &&
        (statSync(join(ROOT, target)).isDirectory() || !anchors(target).includes(anchor))
      );
    });
    expect(broken.map(([page, [link]]) => `${page} ${link}`)).toEqual([]);
  });

  it('they are in plain words', () => {
    const words = findAll(TRUE_PAGES, PRIVATE_WORDS);
    expect(words.map(([page, [word]]) => `${page}: ${word}`)).toEqual([]);
  });

  it('show the example that is served and tested, to the letter', () => {
    const example = read('browser/page/example.js');
    expect(read('docs/getting-started.md')).toContain(`\`\`\`js\n${example}\`\`\``);
  });
});

describe('docs/configuration.md', () => {
  const page = read('docs/configuration.md');
  const CLUSTER_KEYS = Object.keys(clusterFileSchema.shape);
  const section = (heading: string): string =>
    page.split(/^## /m).find((part) => part.startsWith(heading)) ?? '';
  const rows = (text: string): Map<string, string> =>
    new Map([...text.matchAll(/^\| `(\w+)` \| ([^|]*)\|/gm)].map(([, key, value]) => [key!, value!.trim()]));
  const [cluster, backend] = [...page.matchAll(/```json\n([\s\S]*?)```/g)].map(([, json]) => json!);

  it('shows files that are taken as they stand', () => {
    expect(parseClusterFile(cluster!)).toMatchObject({ ok: true });
    expect(parseBackendConfig(JSON.parse(backend!), 'docs').name).toBe('backend-1');
  });

  it.each([
    ['The cluster file', CLUSTER_KEYS],
    ["A backend's file", BACKEND_CONFIG_KEYS],
    ["A forwarder's settings", FORWARDER_CONFIG_KEYS],
  ])('%s: has a row for each key, and none for a key that is not there', (heading, keys) => {
    expect([...rows(section(heading)).keys()].sort()).toEqual([...keys].sort());
  });

  it('says the defaults that the code has', () => {
    const { certificate, key, name, upstream } = JSON.parse(backend!) as Record<string, unknown>;
    const given = { certificate, key, name, upstream };
    const forwarder = parseForwarderConfig({});
    const { tunnelTag } = clusterFileSchema.parse(JSON.parse(cluster!));
    const check = (heading: string, values: Readonly<Record<string, unknown>>) => {
      const written = rows(section(heading));
      let compared = 0;
      for (const [setting, value] of Object.entries(values)) {
        if (setting in given && heading.startsWith('A backend')) continue;
        const text =
          setting === 'listen'
            ? '0.0.0.0:4433'
            : typeof value === 'object'
              ? JSON.stringify(value)
              : String(value);
        expect(written.get(setting)?.replace(/`/g, ''), setting).toBe(
          Array.isArray(value) && setting !== 'listen' ? value.join(', ') : text,
        );
        compared += 1;
      }
      expect(compared, heading).toBeGreaterThan(0);
    };
    check("A backend's file", parseBackendConfig(given, 'docs'));
    check("A forwarder's settings", forwarder.ok ? forwarder.value : {});
    check('The cluster file', { tunnelTag });
  });
});

describe('docs/errors.md and docs/metrics.md', () => {
  it('hold the tables that the code makes; `npm run docs` writes them', async () => {
    const tables = await docTables();
    expect(TABLE_PAGES.flatMap((page) => tableNames(read(page))).sort()).toEqual(Object.keys(tables).sort());
    for (const page of TABLE_PAGES) expect(read(page), page).toBe(withTables(read(page), tables));
  });

  it('name only metrics that there are, on every page', async () => {
    // Claims of a token are named so too.
    const tables = `${Object.values(await docTables()).join('\n')} \`parley_max_calls\` \`parley_minutes_per_day\``;
    const named = findAll(TRUE_PAGES, /\bparley_[a-z_]+/g).map(([, [name]]) => name);
    expect(named.length).toBeGreaterThan(40);
    expect(named.filter((name) => !tables.includes(`\`${name}\``))).toEqual([]);
  });

  it('list every outcome of a refused session', () => {
    const outcomes = [...read('server/router.ts').matchAll(/status: (\d+), outcome: '([a-z-]+)'/g)];
    expect(outcomes.length).toBeGreaterThan(3);
    const page = read('docs/errors.md');
    for (const [, status, outcome] of outcomes) expect(page).toContain(`| ${status} | \`${outcome}\` |`);
  });
});

describe('docs/browser-api.md', () => {
  const page = read('docs/browser-api.md');
  const types = read('browser/call-types.ts');
  const membersOf = (declaration: string): string[] => {
    const body = types.slice(types.indexOf(declaration)).split('\n}', 1)[0]!;
    return [...body.matchAll(/^ {2}(?:readonly )?(\w+)\??: /gm)].map(([, name]) => name!);
  };

  it.each(['interface CallOptions', 'interface CallEvents', 'interface CallEnd'])(
    'names every member of %s',
    (declaration) => {
      const members = membersOf(declaration);
      expect(members.length).toBeGreaterThan(1);
      expect(members.filter((name) => !new RegExp(`[\`\\s{]${name}[\`,\\s]`).test(page))).toEqual([]);
    },
  );

  it('names every public member of Call, and pages use no other', () => {
    const source = read('browser/call.ts');
    const body = source.slice(source.indexOf('export class Call'));
    const members = [...body.matchAll(/^ {2}(?:get |async |readonly )?([a-z]\w*)(?:[(:<])/gm)]
      .map(([, name]) => name!)
      .filter((name) => name !== 'constructor');
    expect(members).toEqual(
      expect.arrayContaining(['ready', 'state', 'interrupt', 'hangUp', 'microphoneState']),
    );
    expect(members.filter((name) => !page.includes(`call.${name}`))).toEqual([]);
    const used = findAll(TRUE_PAGES, /\bcall\.([a-z]\w*)/g).map(([, [, name]]) => name!);
    expect(used.filter((name) => !members.includes(name))).toEqual([]);
  });

  it('names every state and reason of the microphone', () => {
    const source = read('browser/microphone-status.ts');
    const declared = source.slice(source.indexOf('export type'), source.indexOf('export interface'));
    const names = [...declared.matchAll(/'([a-z_-]+)'/g)].map(([, name]) => name!);
    expect(names.length).toBeGreaterThan(10);
    expect(names.filter((name) => !page.includes(`\`${name}\``))).toEqual([]);
  });

  it('pages listen only to events that there are', () => {
    const events = membersOf('interface CallEvents');
    const used = findAll(TRUE_PAGES, /call\.on\('(\w+)'/g).map(([, [, name]]) => name!);
    expect(used.length).toBeGreaterThan(3);
    expect(used.filter((name) => !events.includes(name))).toEqual([]);
  });
});

describe('docs/architecture.md', () => {
  it('has every folder of the tree in its table', () => {
    const page = read('docs/architecture.md');
    const inFolders = listSources().flatMap(({ path }) =>
      path.includes('/') ? [path.split('/', 1)[0]!] : [],
    );
    const ours = [...new Set([...inFolders, 'examples', 'deploy', 'docs'])];
    expect(ours.length).toBeGreaterThan(8);
    expect(ours.filter((name) => !page.includes(`| \`${name}/\` |`))).toEqual([]);
  });
});

describe('docs/server-api.md', () => {
  it.each([
    ['CallRequest', 'server/hooks.ts'],
    ['AppCaller', 'server/access/tokens.ts', 'Caller'],
    ['AppCall', 'server/hooks.ts'],
    ['CallControl', 'server/bridge/hooks.ts'],
    ['Transcript', 'server/bridge/hooks.ts'],
    ['HookedAudio', 'server/bridge/hooks.ts'],
    ['HookedEnd', 'server/bridge/hooks.ts'],
    ['ToolContext', 'server/bridge/tools/tool.ts'],
  ])('names every field of %s', (type, path, declared = type) => {
    const source = read(path);
    const body = source.slice(source.search(new RegExp(`interface ${declared}\\b`))).split('\n}', 1)[0]!;
    const fields = [...body.matchAll(/^ {2}(?:readonly )?(\w+)(?:\?|\(.*)?: /gm)].map(([, name]) => name!);
    const [row = ''] = new RegExp(`^.*\\| \`${type}\` \\|.*$`, 'm').exec(read('docs/server-api.md')) ?? [];
    expect(fields.length).toBeGreaterThan(1);
    expect(fields.filter((name) => !new RegExp(`\`${name}[\`(]`).test(row))).toEqual([]);
  });
});

describe('figures that the docs name', () => {
  const MEBIBYTE = 1 << 20;
  const constant = (path: string, name: string): number => {
    const found = new RegExp(`\\b${name}(?: =|:) ([\\d_]+)[;,]`).exec(read(path))?.[1];
    if (found === undefined) throw new Error(`${path} has no ${name}`);
    return Number(found.replace(/_/g, ''));
  };

  it.each([
    ['operations', `| an event, either way | ${MAX_MESSAGE_OCTETS / MEBIBYTE} MiB |`],
    ['operations', `| one of Parley's own messages | ${MAX_PARLEY_MESSAGE_OCTETS / MEBIBYTE} MiB |`],
    ['operations', `| an event of the upstream | ${MAX_EVENT_OCTETS / MEBIBYTE} MiB |`],
    ['operations', `slow upstream | ${DEFAULT_VOICE_LIMITS.maxUpstreamQueueOctets / MEBIBYTE} MiB |`],
    ['operations', `wait beyond ${DEFAULT_VOICE_LIMITS.maxPageQueueOctets / MEBIBYTE} MiB end`],
    ['operations', `${DEFAULT_VOICE_LIMITS.maxAnswerQueueOctets / 48_000 / 60} minutes for each call`],
    ['operations', `after ${DEFAULT_VOICE_LIMITS.clearTimeoutMs / 1000} s the answer is truncated`],
    ['operations', `SPP and its tag add ${TUNNEL_OVERHEAD_OCTETS} octets`],
    ['operations', `over IPv4 the tunnel carries ${1500 - 28 - TUNNEL_OVERHEAD_OCTETS} octets`],
    ['operations', `over IPv6 ${1500 - 48 - TUNNEL_OVERHEAD_OCTETS}`],
    ['operations', `${constant('server/start-backend.ts', 'unprovenPerSecond')} a second`],
    ['operations', `${constant('server/start-backend.ts', 'maxHalfOpen')} at once`],
    ['operations', `${constant('server/start-backend.ts', 'maxHalfOpenPerAddress')} from one address`],
    ['architecture', `(SPP, ${SPP_HEADER_OCTETS} octets), behind it a tag (${TAG_OCTETS} octets)`],
    ['browser-api', `nothing came for ${constant('browser/outage-watch.ts', 'OUTAGE_MS') / 1000} s`],
    ['browser-api', `gives up after ${constant('browser/hang-up.ts', 'STALLED_MS') / 1000} s`],
    ['getting-started', `Node ${/>=([\d.]+)/.exec(read('package.json'))?.[1]}`],
  ])('docs/%s.md: %s', (page, text) => {
    expect(read(`docs/${page}.md`).replace(/\s+/g, ' ')).toContain(text);
  });
});

describe('JavaScript on every page', () => {
  it('can be parsed, and imports from the library only what it exports', () => {
    const faces: Readonly<Record<string, string>> = {
      browser: read('browser/index.ts'),
      server: read('server/index.ts'),
      agents: read('browser/agents/index.ts'),
      react: read('browser/react/index.ts'),
      forwarder: read('lb/index.ts'),
    };
    const blocks = findAll(PAGES, /```js\n([\s\S]*?)```/g);
    expect(blocks.length).toBeGreaterThan(2);
    for (const [page, [, source]] of blocks) {
      expect(() => transformSync(source!, { loader: 'js' }), page).not.toThrow();
      for (const [, names, face] of source!.matchAll(
        /import \{ ([^}]*) \} from '(?:[^']*parley\.js|parley-voice\/(\w+))'/g,
      ))
        for (const name of names!.split(', '))
          expect(faces[face ?? 'browser'], page).toMatch(new RegExp(`\\b${name}\\b`));
    }
  });
});

describe('docs/getting-started.md', () => {
  it('names every fault that the local service has', () => {
    const page = read('docs/getting-started.md');
    const faults = [...read('server/realtime/local/faults.ts').matchAll(/case '([a-z-]+)':/g)].map(
      ([, name]) => name!,
    );
    expect(faults.length).toBeGreaterThan(5);
    expect(faults.filter((name) => !page.includes(`\`${name}=`))).toEqual([]);
  });

  it('names every subpath and program of the package', () => {
    const page = read('docs/getting-started.md');
    const { name, exports, bin } = JSON.parse(read('package.json')) as {
      name: string;
      exports: object;
      bin: object;
    };
    const named = [...Object.keys(exports).map((path) => path.replace('.', name)), ...Object.keys(bin)];
    expect(named.length).toBeGreaterThan(10);
    expect(named.filter((one) => !page.includes(`\`${one}\``))).toEqual([]);
  });

  it('shows an upstream for Azure that is taken', () => {
    const json = /```json\n([\s\S]*?)```/.exec(read('docs/getting-started.md'))?.[1] ?? '';
    const file = { name: 'a', certificate: 'c', key: 'k', upstream: JSON.parse(json) as unknown };
    expect(parseBackendConfig(file, 'docs').upstream).toMatchObject({ kind: 'openai', azure: {} });
  });
});
