import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { print } from './table.ts';

/** Runs every benchmark, one after the other: they must not share the machine's cores. */
for (const name of ['forwarder', 'bulk', 'calls']) {
  const path = fileURLToPath(new URL(`./${name}.ts`, import.meta.url));
  const { status } = spawnSync(process.execPath, ['--import', 'tsx', path], { stdio: 'inherit' });
  if (status !== 0) {
    print(`bench ${name} failed`);
    process.exitCode = 1;
  }
  print('');
}
