import { type ChildProcess, execFile, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const SCRIPT = fileURLToPath(new URL('carry.py', import.meta.url));
const NAMESPACES = '/run/netns';
/** What every namespace's name of ours begins with; the process ID of its maker follows. */
const PREFIX = 'parley-';
const CLONE_NEWNET = 0x4000_0000;

/** What packets meet, each way. What is left out is 0: nothing in their way. */
export interface PathConditions {
  /** One way; a round trip takes twice this. */
  readonly delayMs?: number;
  /** At most so much more delay, drawn for each packet: they overtake each other. */
  readonly jitterMs?: number;
  /** Share of packets that are lost, 0 to 1. */
  readonly lossRate?: number;
  /** Packets that are lost in a row, where any is. Default 1. */
  readonly burst?: number;
  readonly rateKbit?: number;
  /** Packets that would wait longer than this for the rate are lost, in ms. Default 200. */
  readonly queueMs?: number;
}

export interface PathOptions extends PathConditions {
  readonly seed?: number;
}

/** What went in one direction. */
export interface PathFigures {
  readonly packets: number;
  readonly lost: number;
  readonly octets: number;
}

interface Stats {
  readonly toRight: PathFigures;
  readonly toLeft: PathFigures;
}

type Setns = (descriptor: number, kind: number) => number;
let setns: Setns | undefined;

async function loadSetns(): Promise<Setns> {
  if (setns === undefined) {
    const { default: koffi } = await import('koffi');
    setns = koffi.load(null).func('int setns(int, int)') as Setns;
  }
  return setns;
}

/** One end of a path: a network namespace of its own, whose only way out is the path. */
export class PathEnd {
  readonly namespace: string;
  #address: string;
  #hostNumber: number;

  constructor(namespace: string, hostNumber: number) {
    this.namespace = namespace;
    this.#hostNumber = hostNumber;
    this.#address = `10.99.0.${hostNumber}`;
  }

  /** Its IPv4 address as it is now. */
  get address(): string {
    return this.#address;
  }

  /** Starts a program in the namespace. Its process ID is the program's own. */
  spawn(command: string, args: readonly string[] = [], options: SpawnOptions = {}): ChildProcess {
    return spawn('nsenter', [`--net=${NAMESPACES}/${this.namespace}`, command, ...args], options);
  }

  /**
   * Takes this thread into the namespace: sockets that it opens and programs that it starts belong there from now on. What is open
   * stays where it is. Gives the way back.
   */
  async enter(): Promise<() => void> {
    const change = await loadSetns();
    const home = openSync('/proc/thread-self/ns/net', 'r');
    const there = openSync(`${NAMESPACES}/${this.namespace}`, 'r');
    const entered = change(there, CLONE_NEWNET);
    closeSync(there);
    if (entered !== 0) throw new Error(`no way into ${this.namespace}: root is needed`);
    return () => {
      change(home, CLONE_NEWNET);
      closeSync(home);
    };
  }

  /** Does something in the namespace. Nothing else may open sockets meanwhile. */
  async within<T>(work: () => Promise<T>): Promise<T> {
    const leave = await this.enter();
    try {
      return await work();
    } finally {
      leave();
    }
  }

  /**
   * The host moves to another address, on the same interface. With `newFirst` it has both for `gapMs`, else none for that long. Gives the
   * moment of the second step, by `performance.now()`: from then on things are as they stay.
   */
  async replaceAddress({ newFirst, gapMs }: { newFirst: boolean; gapMs: number }): Promise<number> {
    const old = this.#address;
    this.#hostNumber += 2;
    this.#address = `10.99.0.${this.#hostNumber}`;
    const steps = [
      ['add', this.#address],
      ['del', old],
    ] as const;
    const [first, second] = newFirst ? steps : [steps[1], steps[0]];
    const step = async ([what, address]: readonly [string, string]) => {
      await run('ip', ['-n', this.namespace, 'addr', what, `${address}/32`, 'dev', 'path0']);
      // An interface that loses its last address loses its routes.
      if (what === 'add')
        await run('ip', ['-n', this.namespace, 'route', 'replace', 'default', 'dev', 'path0']);
    };
    await step(first);
    await new Promise((resolve) => setTimeout(resolve, gapMs));
    await step(second);
    return performance.now();
  }
}

/** Two network namespaces and a path between them. */
export class Netpath {
  readonly left: PathEnd;
  readonly right: PathEnd;
  readonly #process: ChildProcess;
  readonly #pending = new Map<number, (stats: Stats) => void>();
  readonly #exited: Promise<unknown>;
  #nextId = 0;

  constructor(child: ChildProcess, left: PathEnd, right: PathEnd) {
    this.#process = child;
    this.left = left;
    this.right = right;
    this.#exited = once(child, 'exit');
  }

  /** An answer of the script. */
  take(line: string): void {
    const { id, ...stats } = JSON.parse(line) as Stats & { id: number };
    this.#pending.get(id)?.(stats);
    this.#pending.delete(id);
  }

  /** Changes conditions; those left out stay. Packets that are on their way are not changed. */
  async set(conditions: PathConditions): Promise<void> {
    await this.#command({ set: conditions });
  }

  /** Loses everything for so long, from now on, in both directions; 0 ends an outage. */
  async outage(ms: number): Promise<void> {
    await this.#command({ outageMs: ms });
  }

  /** What has come to the path so far. */
  stats(): Promise<Stats> {
    return this.#command({});
  }

  /** Removes the namespaces; programs that still run there lose their network. */
  async close(): Promise<void> {
    this.#process.stdin!.end();
    await this.#exited;
  }

  #command(command: object): Promise<Stats> {
    const id = this.#nextId++;
    this.#process.stdin!.write(`${JSON.stringify({ id, ...command })}\n`);
    const ended = this.#exited.then(() => Promise.reject(new Error('the path is gone')));
    return Promise.race([new Promise<Stats>((resolve) => this.#pending.set(id, resolve)), ended]);
  }
}

/** Removes namespaces of tests that were killed. */
async function removeLeftovers(): Promise<void> {
  let names: string[] = [];
  try {
    names = readdirSync(NAMESPACES);
  } catch {
    // There has been none so far.
  }
  for (const name of names) {
    const pid = /^parley-(\d+)-/.exec(name)?.[1];
    if (pid === undefined || isAlive(Number(pid))) continue;
    await run('ip', ['netns', 'del', name]).catch(() => {});
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

let opened = 0;

/**
 * Makes two network namespaces with a path between them, for every protocol alike. Needs root, Python 3 and Linux with TUN devices; rejects
 * with what was missing. The namespaces are gone after `close`, and when this process ends.
 */
export async function openNetpath(options: PathOptions = {}): Promise<Netpath> {
  await removeLeftovers();
  const { seed = 1, ...conditions } = options;
  const name = `${PREFIX}${process.pid}-${opened++}`;
  const left = new PathEnd(`${name}-left`, 1);
  const right = new PathEnd(`${name}-right`, 2);
  const plan = {
    left: { namespace: left.namespace, address: left.address },
    right: { namespace: right.namespace, address: right.address },
    seed,
    conditions: {
      delayMs: 0,
      jitterMs: 0,
      lossRate: 0,
      burst: 1,
      rateKbit: 0,
      queueMs: 200,
      ...conditions,
    },
  };
  const child = spawn('python3', [SCRIPT, JSON.stringify(plan)], { stdio: ['pipe', 'pipe', 'pipe'] });
  let complaint = '';
  child.stderr.on('data', (text: Buffer) => {
    complaint += text.toString();
  });
  const path = new Netpath(child, left, right);
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => reject(new Error(`no network path could be made: ${complaint.trim()}`)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line === 'ready') resolve();
      else path.take(line);
    });
  });
  return path;
}
