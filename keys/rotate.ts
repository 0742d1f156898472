import { randomBytes } from 'node:crypto';
import { readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { loadClusterFile } from '../net/cluster/index.ts';
import { folderFault } from '../net/files.ts';
import { StartupError } from '../net/startup.ts';
import { advanceRotation, parseClusterFile, type RotationStep, secretPlace } from '../proto/quic-lb/index.ts';

const KEY_OCTETS = 16;

interface Entry {
  readonly key?: unknown;
}

/** Replaces a file at once: what reads it sees the old one or the new one. It is readable as the old one was, or by its owner only. */
function replaceFile(path: string, text: string): void {
  const mode = (statSync(path, { throwIfNoEntry: false })?.mode ?? 0o600) & 0o777;
  const fresh = join(dirname(path), `.${basename(path)}.new`);
  try {
    writeFileSync(fresh, text, { mode });
    renameSync(fresh, path);
  } catch (error) {
    throw new StartupError(`${path} cannot be written: ${folderFault(error)}.`);
  }
}

/**
 * Takes a cluster file one step of a rotation further, keys made anew, and writes it in place. A key that stands in a file gets
 * another beside it. Throws `StartupError`, and then nothing is changed.
 */
export function rotateKeys(path: string, env: NodeJS.ProcessEnv = process.env): RotationStep {
  loadClusterFile(path, env);
  const content = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  const fresh = new Map<string, string>();
  const newKey = (rotation: number) => {
    const key = randomBytes(KEY_OCTETS).toString('hex');
    const place = secretPlace((content.quicLb as Entry[])[0]?.key);
    if (place === undefined) return key;
    if ('env' in place)
      throw new StartupError(
        `${path}: the key stands in the environment (${place.env}), which this command cannot change; add the entry for configRotation ${rotation} by hand, with a variable of its own.`,
      );
    const file = `${place.file.replace(/-rotation-\d$/, '')}-rotation-${rotation}`;
    fresh.set(file, key);
    return { file };
  };
  const step = advanceRotation(content, newKey);
  if (typeof step === 'string') throw new StartupError(`${path}: ${step}`);
  const text = `${JSON.stringify(step.file, null, 2)}\n`;
  const inFolder = (file: string) => resolve(dirname(path), file);
  const checked = parseClusterFile(text, (place) =>
    'file' in place && fresh.has(place.file)
      ? { ok: true, text: fresh.get(place.file) as string }
      : 'file' in place
        ? { ok: true, text: readFileSync(inFolder(place.file), 'utf8') }
        : { ok: true, text: env[place.env] ?? '' },
  );
  if (!checked.ok) throw new StartupError(checked.faults.map((fault) => `${path}: ${fault}`).join('\n'));
  // The keys first: what reads the cluster file must find them.
  for (const [file, key] of fresh) replaceFile(inFolder(file), `${key}\n`);
  replaceFile(path, text);
  return step;
}
