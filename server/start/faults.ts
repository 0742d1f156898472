import { setTimeout as pause } from 'node:timers/promises';
import type { FaultRelay } from './relay/fault-relay.ts';

/** Where the page asks for faults: by POST, the fault and the backend of its call in the query. */
export const FAULTS_PATH = '/faults';

/** How long packets are lost, and how many. */
const LOSS_MS = 8000;
const LOSS_SHARE = 0.1;
const CUT_MS = 5000;

/** What can be broken, in the order of the page's buttons. */
export const FAULTS = ['address', 'forwarder', 'kill', 'drain', 'loss', 'cut', 'upstream'] as const;
export type Fault = (typeof FAULTS)[number];

/** A process that can be ended and started again, or told something. */
export interface BreakablePart {
  readonly name: string;
  /** Fulfils when it is back. */
  restart(signal: NodeJS.Signals): Promise<void>;
  tell(line: string): void;
}

/** The processes of `npm start`, as far as faults want them. */
export interface BreakableParts {
  readonly realtime: readonly BreakablePart[];
  readonly backends: readonly BreakablePart[];
  readonly forwarder: BreakablePart;
}

/** What came of a fault: a sentence of what happened, or of why nothing did. */
export interface FaultOutcome {
  readonly ok: boolean;
  readonly text: string;
}

const happened = (text: string): FaultOutcome => ({ ok: true, text });
const refused = (text: string): FaultOutcome => ({ ok: false, text });

/** What breaks things in `npm start`, one at a time. */
export class FaultBench {
  readonly #relay: FaultRelay;
  readonly #parts: () => BreakableParts | undefined;
  #busy = false;

  /** `parts` gives the processes, once they are planned. */
  constructor(relay: FaultRelay, parts: () => BreakableParts | undefined) {
    this.#relay = relay;
    this.#parts = parts;
  }

  /** Faults that can be had: the upstream can be ended only where it runs on this machine. */
  get available(): readonly Fault[] {
    return this.#parts()?.realtime.length ? FAULTS : FAULTS.filter((name) => name !== 'upstream');
  }

  /** Has a fault happen; fulfils when it is over. `backend` carries the page's call. Never rejects. */
  async run(name: string | null, backend: string | null): Promise<FaultOutcome> {
    const parts = this.#parts();
    const fault = this.available.find((known) => known === name);
    if (fault === undefined || parts === undefined) return refused('There is no such fault.');
    if (this.#busy) return refused('Another fault is not over yet.');
    this.#busy = true;
    try {
      return await this.#cause(fault, parts, backend);
    } catch (error) {
      return refused((error as Error).message);
    } finally {
      this.#busy = false;
    }
  }

  async #cause(fault: Fault, parts: BreakableParts, backend: string | null): Promise<FaultOutcome> {
    switch (fault) {
      case 'address':
        this.#relay.changeAddress();
        return happened('Your address changed.');
      case 'forwarder':
        return happened(
          `The forwarder was killed, and was back after ${await again(parts.forwarder, 'SIGKILL')}.`,
        );
      case 'kill':
      case 'drain': {
        const part = parts.backends.find((one) => one.name === backend);
        if (part === undefined)
          return refused('No call of this page is carried by a backend that runs here.');
        if (fault === 'kill')
          return happened(`${part.name} was killed, and was back after ${await again(part, 'SIGKILL')}.`);
        return happened(`${part.name} drained, and was back after ${await again(part, 'SIGTERM')}.`);
      }
      case 'loss':
        return happened(await this.#lose());
      case 'cut':
        this.#relay.cut();
        await pause(CUT_MS);
        this.#relay.mend();
        return happened(`The network was cut for ${CUT_MS / 1000} s.`);
      case 'upstream':
        for (const part of parts.realtime) part.tell('end');
        return happened('The upstream ended, as it does after 60 minutes.');
    }
  }

  async #lose(): Promise<string> {
    const before = this.#relay.dropped;
    this.#relay.lose(LOSS_SHARE);
    await pause(LOSS_MS);
    this.#relay.lose(0);
    return `${LOSS_SHARE * 100} % of the packets were lost for ${LOSS_MS / 1000} s: ${this.#relay.dropped - before} packets.`;
  }
}

/** Restarts a part; gives how long it was away. */
async function again(part: BreakablePart, signal: NodeJS.Signals): Promise<string> {
  const at = performance.now();
  await part.restart(signal);
  return `${((performance.now() - at) / 1000).toFixed(1)} s`;
}
