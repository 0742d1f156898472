/**
 * Which carrier a call is dialled over: WebTransport, or TCP for networks that block UDP. A state machine: it is told what happened and
 * when, and says what to do. `run-race.ts` drives it.
 */

/** Time that WebTransport has for its answer before TCP may carry the call, in ms. */
export const HEAD_START_MS = 1000;
/**
 * Time without an answer over WebTransport after which TCP is dialled, in ms: its session then stands when the head start is over. By
 * then WebTransport, whose session takes two round trips, has had time for one of 250 ms.
 */
export const TCP_AFTER_MS = 500;
/** How long a network that let no UDP through is remembered, in ms: TCP is then tried at once. */
export const REMEMBER_MS = 10 * 60_000;
/**
 * Waits before WebTransport is tried again while a call is carried over TCP, in ms; the last one repeats. The first are short, since an
 * outage of the whole network may end with TCP being the first that comes through.
 */
export const UPGRADE_STEPS_MS = [2000, 5000, 10_000, 20_000, 30_000] as const;

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
  /** `spare`: the other one may yet carry the call, so this one is to cost the backend little until it is used. */
  | { readonly type: 'dial'; readonly carrier: Carrier; readonly spare: boolean }
  /** This one carries the call. */
  | { readonly type: 'win'; readonly carrier: Carrier }
  /** It is not needed any more, ready or not. */
  | { readonly type: 'close'; readonly carrier: Carrier }
  /** UDP failed where TCP did not (true), or came through (false). */
  | { readonly type: 'remember'; readonly udpFails: boolean }
  /** Neither came through: the error of this one is told. */
  | { readonly type: 'fail'; readonly carrier: Carrier };

type State = 'idle' | 'dialling' | 'held' | 'failed';

/** Whether UDP failed on this network too short a time ago to be waited for. */
export function udpFailedLately(failedAtEpochMs: number | undefined, nowEpochMs: number): boolean {
  if (failedAtEpochMs === undefined) return false;
  const age = nowEpochMs - failedAtEpochMs;
  // A clock that was set back makes it neither young for years nor old at once.
  return age >= 0 && age < REMEMBER_MS;
}

/** One race. Ask for `start` first; every method gives what is to be done now, in order. Times are in ms, by any one clock. */
export class Race {
  readonly #states: Record<Carrier, State> = { webtransport: 'idle', tcp: 'idle' };
  readonly #setting: RaceSetting;
  #over = false;
  /** When TCP is to be dialled. */
  #dialTcpAt: number | undefined;
  /** Until then a session over TCP is held, in case WebTransport answers after all. */
  #headStartEndsAt = Number.NEGATIVE_INFINITY;

  constructor(setting: RaceSetting) {
    this.#setting = setting;
  }

  get over(): boolean {
    return this.#over;
  }

  /** When `passed` wants to be called, if at all. */
  get deadline(): number | undefined {
    if (this.#over) return undefined;
    return this.#states.tcp === 'held' ? this.#headStartEndsAt : this.#dialTcpAt;
  }

  start(now: number): RaceAction[] {
    const { hasWebTransport, hasTcp, udpFailedAtEpochMs, nowEpochMs } = this.#setting;
    const actions: RaceAction[] = [];
    if (hasWebTransport || !hasTcp) actions.push(this.#dial('webtransport'));
    if (!hasTcp) return actions;
    if (!hasWebTransport || udpFailedLately(udpFailedAtEpochMs, nowEpochMs)) actions.push(this.#dial('tcp'));
    else {
      this.#dialTcpAt = now + TCP_AFTER_MS;
      this.#headStartEndsAt = now + HEAD_START_MS;
    }
    return actions;
  }

  /** Time has passed. */
  passed(now: number): RaceAction[] {
    if (this.#over) return [];
    if (this.#dialTcpAt !== undefined && now >= this.#dialTcpAt) return [this.#dial('tcp')];
    if (this.#states.tcp === 'held' && now >= this.#headStartEndsAt) return this.#win('tcp');
    return [];
  }

  /** This one has a session. */
  ready(carrier: Carrier, now: number): RaceAction[] {
    if (this.#over) return [{ type: 'close', carrier }];
    if (carrier === 'tcp' && this.#states.webtransport === 'dialling' && now < this.#headStartEndsAt) {
      this.#states.tcp = 'held';
      return [];
    }
    return this.#win(carrier);
  }

  /** This one got no session, or lost it before it was used. */
  failed(carrier: Carrier): RaceAction[] {
    if (this.#over) return [];
    this.#states[carrier] = 'failed';
    const other = carrier === 'tcp' ? 'webtransport' : 'tcp';
    // A refusal at once is no reason to wait for the rest of the second.
    if (carrier === 'webtransport' && this.#dialTcpAt !== undefined) return [this.#dial('tcp')];
    if (this.#states[other] === 'held') return this.#win(other);
    if (this.#states[other] === 'dialling') return [];
    this.#over = true;
    // What WebTransport said is what the caller can do most about, where it was tried.
    return [{ type: 'fail', carrier: this.#states.webtransport === 'failed' ? 'webtransport' : 'tcp' }];
  }

  #win(carrier: Carrier): RaceAction[] {
    this.#over = true;
    const actions: RaceAction[] = [{ type: 'win', carrier }];
    const other = carrier === 'tcp' ? 'webtransport' : 'tcp';
    if (this.#states[other] === 'dialling' || this.#states[other] === 'held')
      actions.push({ type: 'close', carrier: other });
    if (carrier === 'webtransport') actions.push({ type: 'remember', udpFails: false });
    else if (this.#setting.hasWebTransport) actions.push({ type: 'remember', udpFails: true });
    return actions;
  }

  #dial(carrier: Carrier): RaceAction {
    if (carrier === 'tcp') this.#dialTcpAt = undefined;
    this.#states[carrier] = 'dialling';
    return { type: 'dial', carrier, spare: carrier === 'tcp' && this.#states.webtransport === 'dialling' };
  }
}
