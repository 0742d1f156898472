/** Whether this runs from the installed package: JavaScript, with the page's files beside it; else from the sources, through tsx. */
export const PACKAGED = import.meta.url.endsWith('.js');

/** How a program is called, for its usage: by its command in the package, by its npm script in the sources. */
export function commandLine(inPackage: string, inSources: string): string {
  return PACKAGED ? inPackage : inSources;
}
