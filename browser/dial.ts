import type { CarrierSession, DialOptions } from './carrier-session.ts';
import { CallError, timeoutError, unreachableError } from './errors.ts';
import { once } from './once.ts';
import { openSession } from './session.ts';
import { within } from './within.ts';

export type { Carrier, CarrierSession } from './carrier-session.ts';

/** Opens a session. Rejects with a `CallError`. */
export type Dial = (url: string, options: DialOptions) => Promise<CarrierSession>;

async function dialWebTransport(url: string, options: DialOptions): Promise<CarrierSession> {
  const { certificateHashes, timeoutMs, signal } = options;
  const transport = await openSession(url, certificateHashes, timeoutMs, signal);
  return {
    carrier: 'webtransport',
    closed: transport.closed,
    incomingUnidirectionalStreams: transport.incomingUnidirectionalStreams,
    createBidirectionalStream: (how) => transport.createBidirectionalStream(how),
    createUnidirectionalStream: (how) => transport.createUnidirectionalStream(how),
    close: (info) => transport.close(info),
  };
}

/** What chooses between the carriers; undefined where it cannot be loaded. */
export const loadCarriers = /* @__PURE__ */ once(() => import('./carriers/index.ts'));

/**
 * The way of every call and of every redial: WebTransport, or TCP where that is not answered. Choosing between them is loaded while
 * WebTransport is being dialled.
 */
export const dial: Dial = async (url, options) => {
  const { signal, timeoutMs } = options;
  const webTransport =
    typeof WebTransport === 'undefined'
      ? undefined
      : (there: string, until: AbortSignal) => dialWebTransport(there, { ...options, signal: until });
  const late = () => timeoutError(url, timeoutMs / 1000, 'answer');
  const ended = new AbortController();
  let end = () => {};
  const stopped = new Promise<never>((_resolve, reject) => {
    end = () => {
      ended.abort(signal.reason);
      reject(signal.reason);
    };
  });
  stopped.catch(() => undefined);
  if (signal.aborted) end();
  else signal.addEventListener('abort', end, { once: true });
  try {
    const first = webTransport?.(url, ended.signal);
    const loading = loadCarriers();
    const early = await Promise.race([first?.catch(() => undefined), loading.then(() => undefined), stopped]);
    if (early !== undefined) {
      void loading.then((carriers) => carriers?.udpWorks(url));
      return early;
    }
    const carriers = await within(timeoutMs, Promise.race([loading, stopped]), late);
    // A page that is without its server has this way left.
    if (carriers === undefined) return await (first ?? Promise.reject(new Error('no carrier was loaded')));
    return await carriers.dialFirst(url, options, { webTransport, first, end: () => ended.abort(), late });
  } catch (error) {
    throw error instanceof CallError ? error : unreachableError(url, error, options.certificateHashes);
  } finally {
    signal.removeEventListener('abort', end);
  }
};
