import type { Logger } from 'pino';
import { type Resume, SessionCloseCode } from '../../../proto/voice/index.ts';
import { SeededRandom } from '../random.ts';
import { Trace } from '../trace.ts';
import { Violation } from '../violation.ts';
import { CallBackend, type SessionDetails } from './backend.ts';
import type { CallNetwork, CallNetworkHost } from './call-network.ts';
import { Caller } from './caller.ts';
import type { PageModule } from './page-face.ts';
import type { CallFault, CallsPlan, PageAction } from './plan.ts';
import { RawTab } from './raw-tab.ts';
import { ModelUpstream } from './upstream.ts';
import { VirtualTime } from './virtual-time.ts';

/** Within this long after all is well again, everything is delivered. */
const PROGRESS_MS = 60_000;
/** What was said last reaches the page within this long, in ms. */
const REST_MS = 3000;
/** The idle timer of a session, then the time that a call waits for its page, in ms. */
const WAITED_MS = 95_000;
/** How often a stale tab looks whether it is stale, in ms. */
const STALE_POLL_MS = 300;
const OWNER = 'anna';
const THIEF = 'mallory';
/** An answer's place in the audio's tag, behind the caller's own. */
const FIRST_ANSWER_TAG = 2;

/** Everything of one run: a page, backends, upstreams, the sessions between them, and what goes wrong. */
export class CallsWorld implements CallNetworkHost {
  readonly plan: CallsPlan;
  readonly time: VirtualTime;
  readonly trace: Trace;
  readonly met = new Map<string, number>();
  readonly caller: Caller;
  readonly random: SeededRandom;
  readonly #pages: PageModule;
  readonly backends: readonly CallBackend[];
  readonly #secret: Uint8Array;
  /** By the number of the session. */
  readonly #served = new Map<number, CallBackend>();
  readonly #upstreams: ModelUpstream[] = [];
  readonly #network: CallNetwork;
  #refusals = 0;
  #upstreamStalledUntil = 0;
  #answers = 0;
  #sessions = 0;
  #calm = false;
  #fault: unknown;

  constructor(
    plan: CallsPlan,
    pages: PageModule,
    readable: boolean,
    makeNetwork: (host: CallNetworkHost) => CallNetwork,
  ) {
    this.plan = plan;
    this.#pages = pages;
    this.time = new VirtualTime(plan.seed);
    this.trace = new Trace(readable);
    this.random = new SeededRandom(plan.seed, 'world');
    this.#secret = this.random.octets(32);
    const logger = this.#logger();
    this.backends = Array.from({ length: plan.backends }, (_, i) => {
      const name = `backend-${i + 1}`;
      return new CallBackend(name, plan.callHost ? `${name}.simulation` : undefined, {
        secret: this.#secret,
        logger,
        dial: (session) => this.#dialUpstream(session),
        meet: (what) => this.meet(what),
      });
    });
    this.#network = makeNetwork(this);
    this.caller = new Caller({
      time: this.time,
      frameMs: plan.frameMs,
      detectsTurns: plan.detectsTurns,
      lateTranscripts: plan.lateTranscripts,
      meet: (what) => this.meet(what),
      note: (text) => this.#note(`page: ${text}`),
      fail: (error) => {
        this.#fault ??= error;
      },
    });
  }

  meet(what: string): void {
    this.met.set(what, (this.met.get(what) ?? 0) + 1);
  }

  #note(text: string): void {
    this.trace.event(this.time.now, text);
  }

  /** What a backend logs as its own failure is one. */
  #logger(): Logger {
    const quiet = () => undefined;
    const logger = {
      child: () => logger,
      trace: quiet,
      debug: quiet,
      info: (fields: object, text: string) =>
        this.trace.note(this.time.now, () => `log: ${text} ${JSON.stringify(fields)}`),
      warn: (fields: object, text: string) =>
        this.trace.note(this.time.now, () => `log: ${text} ${JSON.stringify(fields)}`),
      error: ({ err }: { err?: Error }, text: string) => {
        if (err instanceof Violation) this.#fault ??= err;
        else this.#fault ??= new Violation('faults', `${text}: ${err?.stack}`);
      },
    };
    return logger as unknown as Logger;
  }

  // Upstreams.

  #dialUpstream({ serial, subject }: SessionDetails): ModelUpstream {
    if (subject !== OWNER) this.#fault ??= new Violation('tickets', `an upstream is dialled for ${subject}`);
    const number = this.#upstreams.length;
    const upstream = new ModelUpstream(
      this.time,
      new SeededRandom(this.plan.seed, `upstream ${number}`),
      this.caller,
      {
        number,
        callerTag: 1,
        delayMs: this.plan.upstreamDelayMs,
        detectsTurns: this.plan.detectsTurns,
        lateTranscripts: this.plan.lateTranscripts,
        nextAnswer: () => ({
          samples: this.random.pick([0, 2400, 12_001, 40_000, 120_000]),
          tag: FIRST_ANSWER_TAG + this.#answers++,
          tool: this.plan.tools && this.random.chance(0.3),
        }),
      },
    );
    this.#upstreams.push(upstream);
    this.caller.dialled({ upstream, holder: serial });
    const refused = this.#refusals > 0 && number > 0;
    if (refused) this.#refusals -= 1;
    upstream.stalledUntil = this.#upstreamStalledUntil;
    this.time.later(this.random.integer(1, 60), () =>
      refused ? upstream.fail('upstream_unreachable') : upstream.open(),
    );
    return upstream;
  }

  /** A session of this URL comes to this backend. */
  session(backend: CallBackend, url: URL): SessionDetails {
    const serial = this.#sessions++;
    const subject = url.searchParams.get('token') ?? '';
    this.#note(`session-${serial} of ${subject} to ${backend.name}`);
    this.#served.set(serial, backend);
    return { serial, subject };
  }

  // What happens.

  #act(action: PageAction): void {
    const { caller } = this;
    if (caller.over) return;
    this.#note(JSON.stringify(action));
    if (action.kind === 'speaks') caller.speakFor(action.forMs, action.ends);
    else if (action.kind === 'writes') caller.write(action.asks, action.role);
    else if (action.kind === 'changes settings') caller.changeSettings();
    else if (action.kind === 'mutes') caller.muteFor(action.forMs);
    else caller.page.wake();
  }

  #goWrong(fault: CallFault): void {
    if (this.caller.over || this.#calm) return;
    this.#note(JSON.stringify(fault));
    this.meet(fault.kind);
    switch (fault.kind) {
      case 'session cut':
        this.#network.cutAll(fault.pageMs, fault.serverMs);
        break;
      case 'silence':
        this.#network.silence(fault.forMs);
        break;
      case 'page unheard':
        this.#network.silencePage(fault.forMs);
        break;
      case 'no network':
        this.#network.outage(fault.forMs, fault.refuses);
        break;
      case 'upstream ends':
        this.#endUpstream(fault.refusals, fault.timeLimit);
        break;
      case 'upstream stalls':
        this.#upstreamStalledUntil = this.time.now + fault.forMs;
        for (const upstream of this.#upstreams) upstream.stalledUntil = this.#upstreamStalledUntil;
        break;
      case 'backend dies':
        this.#kill(fault.forMs);
        break;
      case 'backend drains':
        this.#drain(fault.forMs);
        break;
      case 'stale tab':
        this.#staleTab(fault.lateMs);
        break;
      case 'thief':
        this.#thief();
    }
  }

  #endUpstream(refusals: number, timeLimit: boolean): void {
    const { upstream } = this.caller;
    if (upstream === undefined || !upstream.isOpen) return;
    this.#refusals = refusals;
    upstream.fail(timeLimit ? 'upstream_time_limit' : 'upstream_closed', timeLimit ? 1001 : 1006);
  }

  /** The living backend whose session the page had last. */
  get #owner(): CallBackend | undefined {
    const { session } = this.caller;
    return session === undefined ? undefined : this.#served.get(session);
  }

  #kill(forMs: number): void {
    const backend = this.#owner;
    // A call that its page has no checkpoint of ends with its backend.
    if (backend === undefined || !backend.alive || this.caller.checkpoints.count === 0) return;
    if (this.backends.filter(({ takesNew }) => takesNew).length < 2) return;
    this.#network.backendGone(backend, () => this.random.pick([undefined, 0, 300]));
    backend.die();
    this.time.later(forMs, () => {
      if (!backend.alive) this.#start(backend);
    });
  }

  #drain(forMs: number): void {
    const open = this.backends.filter(({ takesNew }) => takesNew);
    const backend = this.#owner;
    if (backend === undefined || open.length < 2 || !open.includes(backend)) return;
    if (this.caller.checkpoints.count === 0) return;
    backend.drain();
    this.#network.backendDrains(backend);
    // At the end of its time the process ends, whatever it still carries.
    this.time.later(forMs, () => {
      if (!backend.draining || !backend.alive) return;
      this.#network.backendGone(backend, () => 200);
      backend.die();
      this.#start(backend);
    });
  }

  #start(backend: CallBackend): void {
    backend.start();
    this.#network.backendStarts(backend);
  }

  #staleTab(lateMs: number): void {
    const { caller } = this;
    const resume = caller.page.copyResume();
    if (resume === undefined) return;
    const attempt = (): void => {
      if (caller.over || this.#calm) return;
      // Until the page went on since, this tab would rightly be the newest.
      if (caller.page.attachment < resume.attachment || !this.#network.up) {
        this.time.later(STALE_POLL_MS, attempt);
        return;
      }
      const owner = this.#owner;
      const any = this.random.pick(this.backends.filter(({ alive }) => alive));
      const backend = owner?.alive === true && this.random.chance(0.7) ? owner : any;
      this.meet('stale tab dials');
      const tab = this.#rawTab(backend, OWNER, resume, (how) => {
        // Elsewhere a holding may be left of which the page knows nothing any more: that is not what carries its call.
        if (how === 'attached' && backend === this.#owner)
          this.#fault ??= new Violation('attachments', `an older attempt (${resume.attachment}) attached`);
        this.meet(`stale tab: ${how}`);
      });
      this.time.later(4000, () => {
        if (tab.over) this.meet(`stale tab: closed with ${tab.closeCode}`);
        tab.hangUp();
      });
    };
    this.time.later(lateMs, attempt);
  }

  #thief(): void {
    const resume = this.caller.page.copyResume();
    if (resume === undefined) return;
    for (const backend of this.backends.filter(({ alive }) => alive)) {
      const tab = this.#rawTab(backend, THIEF, { ...resume, attachment: resume.attachment + 100 });
      this.time.later(4000, () => {
        if (tab.ready !== undefined)
          this.#fault ??= new Violation('tickets', `${THIEF} got the call of ${OWNER}`);
        if (tab.closeCode === SessionCloseCode.CALL_LOST) this.meet('thief refused');
        tab.hangUp();
      });
    }
  }

  #rawTab(backend: CallBackend, subject: string, resume: Resume, onReady?: (how: string) => void): RawTab {
    const url = new URL(`https://voice.simulation/voice?resume=1&token=${subject}`);
    return new RawTab(this.#network.dialTab(backend, url), resume, onReady);
  }

  /** All is well from now on. */
  #becomeCalm(): void {
    this.#calm = true;
    this.#refusals = 0;
    this.#network.calm();
    for (const backend of this.backends) if (!backend.alive) this.#start(backend);
  }

  // The run.

  /** Plays the whole plan. Throws `Violation`. */
  async run(): Promise<void> {
    this.time.install();
    const globals = globalThis as unknown as Record<string, unknown>;
    const before = { WebTransport: globals.WebTransport, WebSocket: globals.WebSocket };
    globals.WebTransport = this.#network.transport;
    globals.WebSocket = undefined;
    try {
      for (const backend of this.backends) this.#network.backendStarts(backend);
      await this.#play();
      if (this.#fault !== undefined) throw this.#fault;
    } finally {
      this.caller.hungUp = true;
      this.caller.page?.close(0, 'the run is over');
      for (const backend of this.backends) backend.die();
      void this.#network.close();
      await this.time.settle().catch(() => undefined);
      Object.assign(globals, before);
      this.time.uninstall();
    }
  }

  async #play(): Promise<void> {
    const { caller, plan, time } = this;
    const url = 'https://voice.simulation/voice';
    caller.page = this.#pages.openPage({ url, token: OWNER, resumeFor: 60_000 }, caller);
    void caller.page.start();
    caller.unmute();
    await this.#until(5000, () => caller.carried > 0, 'the call is not ready');
    const start = time.now;
    this.#network.begin();
    for (const { atMs, what } of plan.actions) time.schedule.at(start + atMs, () => this.#act(what));
    for (const { atMs, what } of plan.faults) time.schedule.at(start + atMs, () => this.#goWrong(what));
    if (plan.hangUpAtMs !== undefined)
      time.schedule.at(start + plan.hangUpAtMs, () => this.#calm || this.#hangUp());
    await time.runUntil(
      start + plan.calmAtMs,
      () => this.#fault !== undefined || caller.failure !== undefined,
    );
    this.#becomeCalm();
    if (caller.hungUp) return this.#afterHangUp();
    await this.#comeToRest();
    if (plan.secondTab) await this.#secondTab();
    else {
      this.#hangUp();
      await this.#afterHangUp();
    }
  }

  /** Everyone has said everything, and all is answered: then everything must be in its place. */
  async #comeToRest(): Promise<void> {
    const { caller, time } = this;
    await this.#until(PROGRESS_MS, () => caller.page.attached, 'the page has no session');
    await time.runUntil(time.now + 2000, () => this.#failed);
    caller.unmute();
    caller.speakFor(300, 'commit');
    await time.runUntil(time.now + 1500, () => this.#failed);
    caller.muteFor(10 * PROGRESS_MS);
    // An answer, or a checkpoint, may still be on its way when the upstream has nothing more to say, and another be asked for then.
    const end = time.now + 2 * PROGRESS_MS;
    let [before, now] = [-1, 0];
    while (before !== now) {
      before = now;
      await this.#until(Math.max(0, end - time.now), () => caller.quiet, 'not all is delivered');
      await time.runUntil(time.now + REST_MS, () => this.#failed);
      now =
        caller.holdings.length +
        caller.holdings.reduce((sum, { upstream }) => sum + upstream.items.length, 0);
    }
    if (this.#fault !== undefined) throw this.#fault;
    caller.checkWhole();
  }

  get #failed(): boolean {
    return this.#fault !== undefined || this.caller.failure !== undefined;
  }

  async #until(ms: number, done: () => boolean, why: string): Promise<void> {
    const { caller, time } = this;
    const reached = await time.runUntil(time.now + ms, () => this.#failed || done());
    if (this.#fault !== undefined) throw this.#fault;
    if (caller.failure !== undefined)
      throw new Violation('going on', `the call ended: ${caller.failure.reason}`);
    if (!reached) throw new Violation('going on', `${why} after ${ms} ms: ${caller.whereItStands}`);
  }

  async #secondTab(): Promise<void> {
    const { caller } = this;
    // The tab dials once: a backend that ends its drain just then would take it down. And a page whose session was cut dials
    // again as soon as it knows, and is the newest then.
    const settled = () =>
      this.#owner?.draining === false && caller.page.attached && this.#network.stands(caller.session ?? -1);
    await this.#until(PROGRESS_MS, settled, 'the call stays with a backend that drains');
    const resume = caller.page.copyResume();
    const owner = this.#owner;
    if (resume === undefined || owner === undefined)
      throw new Violation('attachments', 'there is no call to take');
    const tab = this.#rawTab(owner, OWNER, resume);
    await this.time.runUntil(
      this.time.now + 5000,
      () => tab.ready !== undefined && caller.failure !== undefined,
    );
    if (tab.ready === undefined)
      throw new Violation('attachments', `the newest tab was refused with ${tab.closeCode}`);
    if (caller.failure?.closeCode !== SessionCloseCode.ATTACHED_ELSEWHERE)
      throw new Violation('attachments', `the older tab was told ${caller.failure?.reason}`);
    this.meet('second tab');
    tab.hangUp();
  }

  #hangUp(): void {
    const { caller } = this;
    if (caller.over) return;
    this.#note('hangs up');
    this.meet('hung up');
    caller.hungUp = true;
    caller.page.finish();
    caller.page.close(SessionCloseCode.NORMAL, 'the caller hung up');
  }

  /** What was acknowledged is heard, and nothing of the call is left where the hang-up was heard. */
  async #afterHangUp(): Promise<void> {
    await this.time.runUntil(this.time.now + WAITED_MS);
    if (this.#fault !== undefined) throw this.#fault;
    for (const { name, calls } of this.backends)
      if (calls.size > 0) throw new Violation('bounds', `${calls.size} calls are left at ${name}`);
    for (const upstream of this.#upstreams)
      if (!upstream.over) throw new Violation('bounds', `upstream ${upstream.number} is left open`);
  }
}
