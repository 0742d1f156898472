import { execFile } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const MAX_OUTPUT_OCTETS = 64 << 20;

/** What an image is when all its lines are done. */
export interface HandmadeImage {
  /** Its root, as a folder of this machine. */
  readonly root: string;
  /** Its working folder, as a folder of this machine. */
  readonly workdir: string;
  readonly environment: Readonly<Record<string, string>>;
  /** `uid:gid` */
  readonly user: string;
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly stopSignal: string;
  remove(): void;
}

class Stage {
  readonly root: string;
  readonly environment: Record<string, string> = {};
  workdir = '/';
  user = '0:0';
  entrypoint: readonly string[] = [];
  command: readonly string[] = [];
  stopSignal = 'SIGTERM';

  constructor(root: string) {
    this.root = root;
    mkdirSync(root, { recursive: true });
  }

  /** A path of the image, as one of this machine. */
  place(path: string): string {
    return join(this.root, resolve(this.workdir, path));
  }
}

/**
 * Does the lines of a Dockerfile without Docker: each stage is a folder, a COPY copies, a RUN is run in the stage's working folder with this
 * machine's own programs in place of the base image's. Rejects with what a RUN said that failed, and for a line that is not known here.
 */
export async function buildByHand(dockerfile: string, context: string): Promise<HandmadeImage> {
  const folder = mkdtempSync(join(tmpdir(), 'parley-image-'));
  // The image's user is another one.
  chmodSync(folder, 0o755);
  const ignored = readFileSync(join(context, '.dockerignore'), 'utf8').split('\n').filter(Boolean);
  const stages = new Map<string, Stage>();
  let stage: Stage | undefined;
  const remove = () => rmSync(folder, { recursive: true, force: true });
  try {
    for (const line of linesOf(dockerfile)) {
      const [, word = '', rest = ''] = /^([A-Z]+) (.*)$/.exec(line) ?? [];
      if (word === 'FROM') {
        const [, name = String(stages.size)] = / AS (\S+)$/.exec(rest) ?? [];
        stage = new Stage(join(folder, `stage-${name}`));
        stages.set(name, stage);
      } else if (stage === undefined) throw new Error(`before any FROM: ${line}`);
      else await instruct(stage, word, rest, { context, ignored, stages });
    }
    if (stage === undefined) throw new Error('there is no stage');
    return { ...stage, workdir: stage.place('.'), remove };
  } catch (error) {
    remove();
    throw error;
  }
}

/** The instructions, without comments. */
const linesOf = (dockerfile: string) =>
  readFileSync(dockerfile, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));

interface Surroundings {
  readonly context: string;
  readonly ignored: readonly string[];
  readonly stages: ReadonlyMap<string, Stage>;
}

async function instruct(stage: Stage, word: string, rest: string, around: Surroundings): Promise<void> {
  switch (word) {
    case 'WORKDIR':
      stage.workdir = resolve(stage.workdir, rest);
      mkdirSync(stage.place('.'), { recursive: true });
      break;
    case 'COPY':
      copy(stage, rest, around);
      break;
    case 'RUN': {
      const clean = Object.entries(process.env).filter(([name]) => !name.startsWith('npm_'));
      // What npm has fetched before on this machine need not come again.
      const cached = { npm_config_prefer_offline: 'true' };
      const env = { ...Object.fromEntries(clean), ...cached, ...stage.environment };
      await run('sh', ['-c', rest], { cwd: stage.place('.'), env, maxBuffer: MAX_OUTPUT_OCTETS });
      break;
    }
    case 'ENV': {
      const [, name = '', value = ''] = /^(\w+)=(.*)$/.exec(rest) ?? [];
      stage.environment[name] = value;
      break;
    }
    case 'USER':
      stage.user = rest;
      break;
    case 'ENTRYPOINT':
      stage.entrypoint = JSON.parse(rest) as string[];
      break;
    case 'CMD':
      stage.command = JSON.parse(rest) as string[];
      break;
    case 'STOPSIGNAL':
      stage.stopSignal = rest;
      break;
    case 'EXPOSE':
      break;
    default:
      throw new Error(`this is not known here: ${word} ${rest}`);
  }
}

function copy(stage: Stage, rest: string, { context, ignored, stages }: Surroundings): void {
  const [, from, words] = /^(?:--from=(\S+) )?(.*)$/.exec(rest)!;
  const all = words!.split(' ');
  const [sources, target] = [all.slice(0, -1), all.at(-1)!];
  const source = from === undefined ? undefined : stages.get(from);
  const into = target.endsWith('/') || sources.length > 1;
  for (const path of sources) {
    const here = source === undefined ? join(context, path) : source.place(path);
    const there = stage.place(into ? join(target, basename(path)) : target);
    cpSync(here, there, {
      recursive: true,
      verbatimSymlinks: true,
      filter: (file) => source !== undefined || !isIgnored(file.slice(context.length + 1), ignored),
    });
  }
}

/** By the two kinds of lines that our .dockerignore has: a path, and an ending of any file. */
function isIgnored(path: string, ignored: readonly string[]): boolean {
  return ignored.some((line) => {
    const ending = /^\*\*\/\*(\.\w+)$/.exec(line)?.[1];
    return ending === undefined ? path === line || path.startsWith(`${line}/`) : path.endsWith(ending);
  });
}
