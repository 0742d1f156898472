import type { Logger } from 'pino';
import { type Call, serveVoice, type VoiceContext } from '../../../server/bridge/index.ts';
import { CallTable, Sealer } from '../../../server/call/index.ts';
import type { Upstream } from '../../../server/realtime/index.ts';
import type { WebTransportSession } from '../../../server/webtransport/types.ts';
import { REPEATABLE_CIPHER } from './seal-cipher.ts';

/** What a backend needs of its surroundings. */
export interface BackendSetting {
  readonly secret: Uint8Array;
  readonly logger: Logger;
  /** Dials an upstream for a call that this session began, or took. */
  dial(session: SessionDetails): Upstream;
  meet(what: string): void;
}

/** A session as the backend knows it. */
export interface SessionDetails {
  readonly serial: number;
  readonly subject: string;
}

/** One backend process: the bridge that ships, with its table of calls. */
export class CallBackend {
  readonly name: string;
  /** Where it is dialled by name, if it has one. */
  host: string | undefined;
  alive = true;
  readonly #setting: BackendSetting;
  #calls!: CallTable<Call>;
  #draining!: AbortController;
  #shutdown!: AbortController;

  constructor(name: string, host: string | undefined, setting: BackendSetting) {
    this.name = name;
    this.host = host;
    this.#setting = setting;
    this.start();
  }

  get takesNew(): boolean {
    return this.alive && !this.#draining.signal.aborted;
  }

  get draining(): boolean {
    return this.#draining.signal.aborted;
  }

  /** Calls that it knows, and those that wait for their pages. */
  get calls(): { readonly size: number; readonly waiting: number } {
    return this.#calls;
  }

  get keptOctets(): number[] {
    return [...this.#known].filter(({ ended }) => !ended).map(({ keptOctets }) => keptOctets);
  }

  readonly #known = new Set<Call>();

  start(): void {
    this.alive = true;
    this.#draining = new AbortController();
    this.#shutdown = new AbortController();
    const calls = new CallTable<Call>({ resumeSeconds: 60 });
    const add = calls.add.bind(calls);
    calls.add = (call) => {
      this.#known.add(call);
      add(call);
    };
    this.#calls = calls;
  }

  drain(): void {
    this.#draining.abort();
  }

  /** The process is gone: what it had is gone with it, and it tells none. */
  die(): void {
    this.alive = false;
    this.#shutdown.abort();
    this.#calls.close();
    this.#known.clear();
  }

  serve(session: WebTransportSession, details: SessionDetails): void {
    const { secret, logger, meet } = this.#setting;
    const context: VoiceContext = {
      backend: this.name,
      serverId: '00',
      upstreamKind: 'local',
      caller: { subject: details.subject, maxCalls: undefined, minutesPerDay: undefined },
      resume: { calls: this.#calls, sealer: new Sealer(secret, Date.now, REPEATABLE_CIPHER) },
      host: this.host,
      openUpstream: () => this.#setting.dial(details),
      logger,
      sessionId: `call-${details.serial}`,
      draining: this.#draining.signal,
      shutdown: this.#shutdown.signal,
      observer: {
        callCarried: (how) => meet(`carried: ${how}`),
        resumeRefused: (what, why) => meet(`refused: ${what} ${why}`),
        upstreamReplaced: () => meet('upstream replaced'),
      },
    };
    void serveVoice(session, context);
  }
}
