import type { CarrierSession, DialOptions } from '../carrier-session.ts';
import { within } from '../within.ts';
import { race, rememberUdp, retryWebTransport } from './run-race.ts';

/**
 * Over which carrier a call goes: loaded while WebTransport is being dialled. Errors of this file's own would be unknown to the library,
 * which is another file, so they are made by what it is given.
 */
export interface CarrierDials {
  /** Dials over WebTransport; absent where the browser has none. */
  readonly webTransport: ((url: string, signal: AbortSignal) => Promise<CarrierSession>) | undefined;
  /** The dial over WebTransport that was begun, */
  readonly first: Promise<CarrierSession> | undefined;
  /** and what ends it. */
  end(): void;
  /** What is thrown when TCP gave no answer in time. */
  late(): Error;
}

/** The same with the host and port where TCP is taken. */
export function overTcp(url: string, tcpUrl: string | undefined): string {
  if (tcpUrl === undefined) return url;
  const { host } = new URL(tcpUrl);
  const there = new URL(url);
  there.host = host;
  // An URL without a port leaves the old one standing.
  if (!host.includes(':') || host.endsWith(']')) there.port = '';
  return there.href;
}

/** A session for which the backend opens no upstream of its own accord, and that is no call before its hello. */
function spareUrl(url: string): string {
  const spare = new URL(url);
  spare.searchParams.set('resume', '1');
  return spare.href;
}

async function dialOverTcp(
  url: string,
  timeoutMs: number,
  signal: AbortSignal,
  late: () => Error,
): Promise<CarrierSession> {
  const { dialTcp } = await import('./tcp.ts');
  const waiting = new AbortController();
  const stop = () => waiting.abort(signal.reason);
  signal.addEventListener('abort', stop, { once: true });
  try {
    const session = await within(timeoutMs, dialTcp(url, waiting.signal), late);
    return {
      carrier: 'tcp',
      closed: session.closed,
      incomingUnidirectionalStreams: session.incomingUnidirectionalStreams,
      createBidirectionalStream: () => session.createBidirectionalStream(),
      createUnidirectionalStream: () => session.createUnidirectionalStream(),
      close: (info) => session.close(info),
    };
  } catch (error) {
    waiting.abort(error);
    throw error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function storage(): Storage | undefined {
  try {
    return globalThis.localStorage;
  } catch {
    // A page in a sandbox has none.
    return undefined;
  }
}

/** What some browsers tell of the network. */
interface NetworkInformation extends EventTarget {
  readonly type?: string;
}

function networkInformation(): NetworkInformation | undefined {
  return (globalThis.navigator as { connection?: NetworkInformation } | undefined)?.connection;
}

/** By what it is remembered that UDP fails: the origin, and the kind of network where the browser tells it (`wifi`, `cellular`). */
function placeOf(url: string): string {
  const type = networkInformation()?.type;
  return new URL(url).origin + (type === undefined ? '' : ` ${type}`);
}

/** WebTransport was answered here: the next call need not wait for TCP. */
export function udpWorks(url: string): void {
  rememberUdp(storage(), placeOf(url), false);
}

/** Fulfils when WebTransport works again: tried in the background for as long as the session over TCP lasts. */
function betterThan(
  session: CarrierSession,
  url: string,
  webTransport: NonNullable<CarrierDials['webTransport']>,
): Promise<void> {
  const ended = new AbortController();
  const end = () => ended.abort();
  session.closed.then(end, end);
  return new Promise((resolve) => {
    const found = (other: CarrierSession) => {
      other.close();
      udpWorks(url);
      resolve();
    };
    const network = networkInformation();
    retryWebTransport((signal) => webTransport(spareUrl(url), signal), found, ended.signal, [
      [globalThis, 'online'],
      ...(network === undefined ? [] : [[network, 'change'] as const]),
    ]);
  });
}

/** Goes on with the dial over WebTransport, and over TCP where that is not answered: the first that is ready. */
export async function dialFirst(
  url: string,
  { tcpUrl, timeoutMs, signal }: DialOptions,
  { webTransport, first, end, late }: CarrierDials,
): Promise<CarrierSession> {
  const { session, carrier } = await race<CarrierSession>({
    webTransport:
      first &&
      ((ownSignal) => {
        ownSignal.addEventListener('abort', end, { once: true });
        return first;
      }),
    tcp:
      typeof WebSocket === 'undefined'
        ? undefined
        : (ownSignal, spare) => {
            const there = overTcp(url, tcpUrl);
            return dialOverTcp(spare ? spareUrl(there) : there, timeoutMs, ownSignal, late);
          },
    place: placeOf(url),
    store: storage(),
    signal,
  });
  return carrier === 'tcp' && webTransport !== undefined
    ? { ...session, better: betterThan(session, url, webTransport) }
    : session;
}
