import type * as parts from './after-start.ts';
import { once } from './once.ts';

export type LateParts = typeof parts;

let loaded: LateParts | undefined;

/**
 * Loads what a call does without until its session stands: begun with the dial, so that it is there by then, and there when the network goes.
 * Undefined when it could not be loaded. Errors of that file have classes of its own: the library, another file, knows them by their names.
 */
export const loadLateParts = /* @__PURE__ */ once(async (): Promise<LateParts> => {
  loaded = await import('./after-start.ts');
  return loaded;
});

/** The same, where it is there. */
export function lateParts(): LateParts | undefined {
  return loaded;
}
