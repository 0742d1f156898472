import { fileURLToPath } from 'node:url';
import { fileFault } from '../../net/files.ts';
import { PACKAGED } from '../../net/packaged.ts';
import { StartupError } from '../../net/startup.ts';

/**
 * Folder of the demo page's files: as the package brings them, or built now from the sources. Rejects with `StartupError` when they
 * cannot be written.
 */
export async function pageFiles(): Promise<string> {
  if (PACKAGED) return fileURLToPath(new URL('../../page', import.meta.url));
  const root = fileURLToPath(new URL('../../dist/page', import.meta.url));
  // The bundler is only there, and only needed, where the sources are.
  const { buildPage } = await import('../../browser/build.ts');
  try {
    await buildPage(root);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new StartupError(`page: cannot write into ${root}: ${fileFault(error)}.`);
  }
  return root;
}
