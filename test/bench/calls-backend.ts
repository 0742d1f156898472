import { writeHeapSnapshot } from 'node:v8';
import pino from 'pino';
import type { Backend } from '../../server/backend.ts';
import { parseBackendConfig } from '../../server/config.ts';
import { letHeapGrow } from '../../server/heap-growth.ts';
import { startBackend } from '../../server/start-backend.ts';
import { answerParent, Meter } from './child.ts';

/** A backend in a process of its own, with its CPU time, memory and heap looked at from inside. */

let backend: Backend | undefined;
let meter: Meter | undefined;

/** Octets in use once nothing is left to collect. Needs --expose-gc. */
async function settledMemory() {
  for (let i = 0; i < 4; i++) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  const { heapUsed, external, arrayBuffers, rss } = process.memoryUsage();
  return { heapUsed, external, arrayBuffers, rss };
}

answerParent(async (request) => {
  switch (request.op) {
    case 'start': {
      // As the program of a backend does.
      letHeapGrow();
      const config = parseBackendConfig(request.config, 'bench');
      backend = await startBackend(config, pino({ level: 'silent' }));
      return backend.tunnel;
    }
    case 'meter':
      meter = await Meter.start(request.profile === true);
      return undefined;
    case 'measured':
      return meter!.stop();
    case 'memory':
      return settledMemory();
    case 'snapshot':
      return writeHeapSnapshot(String(request.path));
    default:
      throw new Error(`unknown request ${request.op}`);
  }
});
