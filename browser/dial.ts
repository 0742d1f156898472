import { race, rememberUdp, retryWebTransport } from './carriers/run-race.ts';
import { CallError, timeoutError, unreachableError } from './errors.ts';
import { openSession, within } from './session.ts';

/** What carries a session. */
export type Carrier = 'webtransport' | 'tcp';

/** A session that stands: the part of W3C WebTransport that a call uses, whatever carries it. */
export interface CarrierSession {
  readonly carrier: Carrier;
  /** Fulfils when either side closed the session, rejects when it was lost. */
  readonly closed: Promise<{ readonly closeCode?: number; readonly reason?: string }>;
  readonly incomingUnidirectionalStreams: ReadableStream<ReadableStream<Uint8Array>>;
  /** Fulfils when a better way is open again (UDP works): the call dials once more and moves to it without a pause. */
  readonly better?: Promise<unknown>;
  createBidirectionalStream(options: { readonly sendOrder: number }): Promise<{
    readonly readable: ReadableStream<Uint8Array>;
    readonly writable: WritableStream<Uint8Array>;
  }>;
  createUnidirectionalStream(options: { readonly sendOrder: number }): Promise<WritableStream<Uint8Array>>;
  close(info?: { readonly closeCode: number; readonly reason: string }): void;
}

export interface DialOptions {
  /** Where calls over TCP are dialled: `https://host:port`. Absent: at the host and port of the URL. */
  readonly tcpUrl?: string | undefined;
  readonly certificateHashes: readonly string[] | undefined;
  /** Longest wait for the session, in ms. */
  readonly timeoutMs: number;
  /** Aborted: the session is not wanted, and what was opened is closed. */
  readonly signal: AbortSignal;
}

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
  { timeoutMs }: DialOptions,
  signal: AbortSignal,
): Promise<CarrierSession> {
  const { dialTcp } = await import('./carriers/tcp.ts');
  const waiting = new AbortController();
  const stop = () => waiting.abort(signal.reason);
  signal.addEventListener('abort', stop, { once: true });
  try {
    const late = () => timeoutError(url, timeoutMs / 1000, 'answer');
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

/** Fulfils when WebTransport works again: tried in the background for as long as the session over TCP lasts. */
function betterThan(session: CarrierSession, url: string, options: DialOptions): Promise<void> {
  const ended = new AbortController();
  const end = () => ended.abort();
  session.closed.then(end, end);
  return new Promise((resolve) => {
    const found = (other: CarrierSession) => {
      other.close();
      rememberUdp(storage(), placeOf(url), false);
      resolve();
    };
    const attempt = (signal: AbortSignal) => dialWebTransport(spareUrl(url), { ...options, signal });
    const network = networkInformation();
    retryWebTransport(attempt, found, ended.signal, [
      [globalThis, 'online'],
      ...(network === undefined ? [] : [[network, 'change'] as const]),
    ]);
  });
}

/** The way of every call and of every redial: WebTransport, or TCP where that is not answered. */
export const dial: Dial = async (url, options) => {
  const hasWebTransport = typeof WebTransport !== 'undefined';
  try {
    const { session, carrier } = await race<CarrierSession>({
      webTransport: hasWebTransport ? (signal) => dialWebTransport(url, { ...options, signal }) : undefined,
      tcp:
        typeof WebSocket === 'undefined'
          ? undefined
          : (signal, spare) => {
              const there = overTcp(url, options.tcpUrl);
              return dialOverTcp(spare ? spareUrl(there) : there, options, signal);
            },
      place: placeOf(url),
      store: storage(),
      signal: options.signal,
    });
    return carrier === 'tcp' && hasWebTransport
      ? { ...session, better: betterThan(session, url, options) }
      : session;
  } catch (error) {
    throw error instanceof CallError ? error : unreachableError(url, error);
  }
};
