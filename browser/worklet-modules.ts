/** Where the bundled worklets lie. */
export interface WorkletUrls {
  readonly microphone: string | URL;
  readonly playback: string | URL;
}

/** Where this module lies. Apart from `new URL`, which bundlers take for an asset of theirs where it stands beside `import.meta.url`. */
const HERE: string = import.meta.url;

/** The file of a worklet beside this module. */
function besideThisModule(name: keyof WorkletUrls): URL {
  const path = ['.', 'worklets', `${name}.js`].join('/');
  return new URL(path, HERE);
}

/**
 * Whether this module is the file parley.js itself, so that its worklets lie beside it. A bundler leaves them behind: webpack says by `file:` where
 * this module lay when it was built.
 */
function isOwnFile(): boolean {
  return !HERE.startsWith('file:') && /\/parley\.js(?:[?#]|$)/.test(HERE);
}

/**
 * Loads a worklet into a context. The page's own URL is the only one tried where it is given. Else it is the file beside
 * parley.js, or the same code as a blob: URL, as a bundle has no such file, and a Content-Security-Policy may forbid blobs.
 * Rejects with the error of the first when none can be loaded.
 */
export async function addWorklet(
  context: AudioContext,
  name: keyof WorkletUrls,
  urls: WorkletUrls | undefined,
): Promise<void> {
  if (urls !== undefined) return context.audioWorklet.addModule(urls[name]);
  const fromFile = () => context.audioWorklet.addModule(besideThisModule(name));
  const fromBlob = async () => addBlob(context, (await import('./worklet-code.ts')).WORKLET_CODE[name]);
  const [first, second] = isOwnFile() ? [fromFile, fromBlob] : [fromBlob, fromFile];
  try {
    await first();
  } catch (error) {
    // The call is over, and its context with it: no other way would help.
    if (context.state === 'closed') throw error;
    await second().catch(() => {
      throw error;
    });
  }
}

async function addBlob(context: AudioContext, code: string): Promise<void> {
  const url = URL.createObjectURL(new Blob([code], { type: 'text/javascript' }));
  try {
    await context.audioWorklet.addModule(url);
  } finally {
    URL.revokeObjectURL(url);
  }
}
