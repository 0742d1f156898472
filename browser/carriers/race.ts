/**
 * Which carrier a call is dialled over: WebTransport, or TCP for networks that block UDP. A state machine: it is told what happened and
 * when, and says what to do. `run-race.ts` drives it.
 */

/** Time without an answer over WebTransport after which TCP is tried beside it, in ms. */
const TCP_AFTER_MS = 1000;
/** How long a network that let no UDP through is remembered, in ms: TCP is then tried at once. */
export const REMEMBER_MS = 10 * 60_000;
/** How often WebTransport is tried again while a call is carried over TCP, in ms. */
export const UPGRADE_INTERVAL_MS = 30_000;

export type Carrier = 'webtransport' | 'tcp';

export interface RaceSetting {
  /** The browser has WebTransport. */
  readonly hasWebTransport: boolean;
  /** There is a place to dial over TCP. */
  readonly hasTcp: boolean;
  /** When UDP last failed here where TCP did not, in ms since 1970, if that is known. */
  readonly udpFailedAtEpochMs: number | undefined;
  readonly nowEpochMs: number;
}

export type RaceAction =
  | { readonly type: 'dial'; readonly carrier: Carrier }
  /** This one carries the call. */
  | { readonly type: 'win'; readonly carrier: Carrier }
  /** It is not needed any more, ready or not. */
  | { readonly type: 'close'; readonly carrier: Carrier }
  /** UDP failed where TCP did not (true), or came through (false). */
  | { readonly type: 'remember'; readonly udpFails: boolean }
  /** Neither came through: the error of this one is told. */
  | { readonly type: 'fail'; readonly carrier: Carrier };

type State = 'idle' | 'dialling' | 'failed';

/** Whether UDP failed on this network too short a time ago to be waited for. */
export function udpFailedLately(failedAtEpochMs: number | undefined, nowEpochMs: number): boolean {
  if (failedAtEpochMs === undefined) return false;
  const age = nowEpochMs - failedAtEpochMs;
  // A clock that was set back makes it neither young for years nor old at once.
  return age >= 0 && age < REMEMBER_MS;
}

/** One race. Ask for `start` first; every method gives what is to be done now, in order. */
export class Race {
  readonly #states: Record<Carrier, State> = { webtransport: 'idle', tcp: 'idle' };
  readonly #setting: RaceSetting;
  #over = false;
  /** When TCP is to be tried, by the clock that `start` was given. */
  #tcpAt: number | undefined;

  constructor(setting: RaceSetting) {
    this.#setting = setting;
  }

  get over(): boolean {
    return this.#over;
  }

  /** When `passed` wants to be called, if at all. */
  get deadline(): number | undefined {
    return this.#over ? undefined : this.#tcpAt;
  }

  start(now: number): RaceAction[] {
    const { hasWebTransport, hasTcp, udpFailedAtEpochMs, nowEpochMs } = this.#setting;
    const actions: RaceAction[] = [];
    if (hasWebTransport || !hasTcp) actions.push(this.#dial('webtransport'));
    if (!hasTcp) return actions;
    if (!hasWebTransport || udpFailedLately(udpFailedAtEpochMs, nowEpochMs)) actions.push(this.#dial('tcp'));
    else this.#tcpAt = now + TCP_AFTER_MS;
    return actions;
  }

  /** Time has passed. */
  passed(now: number): RaceAction[] {
    if (this.#over || this.#tcpAt === undefined || now < this.#tcpAt) return [];
    return [this.#dial('tcp')];
  }

  ready(carrier: Carrier): RaceAction[] {
    if (this.#over) return [{ type: 'close', carrier }];
    this.#over = true;
    const actions: RaceAction[] = [{ type: 'win', carrier }];
    const other = carrier === 'tcp' ? 'webtransport' : 'tcp';
    if (this.#states[other] === 'dialling') actions.push({ type: 'close', carrier: other });
    if (carrier === 'webtransport') actions.push({ type: 'remember', udpFails: false });
    else if (this.#setting.hasWebTransport) actions.push({ type: 'remember', udpFails: true });
    return actions;
  }

  failed(carrier: Carrier): RaceAction[] {
    if (this.#over) return [];
    this.#states[carrier] = 'failed';
    // A refusal at once is no reason to wait for the rest of the second.
    if (carrier === 'webtransport' && this.#tcpAt !== undefined) return [this.#dial('tcp')];
    const other = carrier === 'tcp' ? 'webtransport' : 'tcp';
    if (this.#states[other] === 'dialling') return [];
    this.#over = true;
    // What WebTransport said is what the caller can do most about, where it was tried.
    return [{ type: 'fail', carrier: this.#states.webtransport === 'failed' ? 'webtransport' : 'tcp' }];
  }

  #dial(carrier: Carrier): RaceAction {
    if (carrier === 'tcp') this.#tcpAt = undefined;
    this.#states[carrier] = 'dialling';
    return { type: 'dial', carrier };
  }
}
