import type { Logger } from 'pino';
import {
  type ErrorCode,
  type GoOn,
  type HelloMessage,
  type Message,
  parseClientMessage,
  type Resume,
  SessionCloseCode,
  VOICE_CODEC,
  VOICE_PROTOCOL,
  VoiceProtocolError,
} from '../../proto/voice/index.ts';
import { formatAddress } from '../../proto/wire/index.ts';
import type { Admission } from '../access/index.ts';
import { SealKind, type Ticket } from '../call/index.ts';
import { formatProblem, type Upstream } from '../realtime/index.ts';
import { Call } from './call.ts';
import type { Carrier } from './carrier.ts';
import { DEFAULT_VOICE_LIMITS, type ResumeRefusal, type VoiceContext } from './context.ts';
import { type HookFault, HookGuard, hookFailure } from './hook-guard.ts';
import { openResumption, resumeRefusalSentence } from './resumption.ts';

/** The session that a new call begins with; not `ok` when the hook failed. */
type SessionAnswer =
  | { readonly ok: true; readonly session: Readonly<Record<string, unknown>> | undefined }
  | { readonly ok: false; readonly fault: HookFault };

/** What the binder needs of its session. */
export interface BinderHost {
  /** Whether the session's end has begun. */
  ended(): boolean;
  /** The upstream that is being dialled for a call that begins, if one is; it is the call's from now on. */
  upstream(): Upstream | undefined;
  /** Dials one where none is, and waits until it is open, has failed, or takes too long: another session carries the call meanwhile. */
  openUpstream(): Promise<void>;
  /** The session carries this call now: the page is told where to go on. */
  greet(call: Call, ticket: string, on: GoOn, omittedItems?: number): void;
  /** The session cannot carry what was asked for. */
  refuse(closeCode: SessionCloseCode, sentence: string, error?: ErrorCode): void;
}

/** Finds or makes the call that a session is to carry, by what its hello says. */
export class Binder {
  readonly #carrier: Carrier;
  readonly #context: VoiceContext<Call>;
  readonly #logger: Logger;
  readonly #host: BinderHost;
  #session: Promise<SessionAnswer> | undefined;

  constructor(carrier: Carrier, context: VoiceContext<Call>, logger: Logger, host: BinderHost) {
    this.#carrier = carrier;
    this.#context = context;
    this.#logger = logger;
    this.#host = host;
  }

  /** Before the hello, for a call that begins: the hook is asked for its session, which may take a while. */
  prepare(): void {
    this.#session ??= this.#askSession();
  }

  async #askSession(): Promise<SessionAnswer> {
    const { hooks, session, observer } = this.#context;
    const ask = hooks?.session;
    if (ask === undefined) return { ok: true, session };
    const guard = new HookGuard(this.#logger, observer?.hookFailed);
    const timeoutMs = this.#context.limits?.hookTimeoutMs ?? DEFAULT_VOICE_LIMITS.hookTimeoutMs;
    const result = await guard.wait('session', timeoutMs, ask);
    if (!result.ok) return result;
    const own: unknown = result.value;
    if (own === undefined) return { ok: true, session };
    const isObject = typeof own === 'object' && own !== null && !Array.isArray(own);
    const whole = { ...session, type: 'realtime', ...(isObject && own) };
    const problem = isObject ? formatProblem({ session: whole }) : 'it gave no object';
    if (problem === undefined) return { ok: true, session: whole };
    return guard.fault('session', 'nonsense', undefined, problem.replace(/\.$/, ''));
  }

  /** The context of a call with the session that the hook wants for it; undefined when the call cannot be, as the page was told. */
  async #contextOfNew(): Promise<VoiceContext<Call> | undefined> {
    this.prepare();
    const answer = await this.#session!;
    if (answer.ok) return { ...this.#context, session: answer.session };
    const { closeCode, sentence } = hookFailure(answer.fault, 'cannot begin', 'sessions');
    // "internal" tells the page that doing the same again may help.
    this.#host.refuse(closeCode, sentence, answer.fault === 'nonsense' ? undefined : 'internal');
    return undefined;
  }

  async bind({ resume }: HelloMessage): Promise<void> {
    if (resume !== undefined) {
      await this.#resume(resume);
      return;
    }
    const context = await this.#contextOfNew();
    if (context === undefined) return;
    const admission = this.#admit(false);
    if (admission === 'refused') return;
    const call = new Call(this.#context.sessionId!, context, admission);
    await this.#orOver(call, async () => {
      const ticket = await this.#ticketFor(call);
      if (this.#host.ended()) {
        call.over({ closeCode: SessionCloseCode.NORMAL, reason: 'the page went at once', error: undefined });
        return;
      }
      this.#context.resume?.calls.add(call);
      call.begin(this.#carrier, this.#host.upstream(), (on) => this.#host.greet(call, ticket, on));
    });
  }

  /** Asks the caller's limits for a call that begins here, or is restored here in the place of an older holding of it. */
  #admit(replacesOne: boolean): Admission | 'refused' | undefined {
    const admission = this.#context.callEntry?.enter(replacesOne);
    if (admission === undefined || !('why' in admission)) return admission;
    const { remoteAddress, origin } = this.#carrier.session.request;
    this.#logger.info(
      { caller: formatAddress(remoteAddress), origin, reason: admission.why },
      'call refused',
    );
    // Said on the control stream as well: a page that lost the close code would take it for a lost network, and ask again.
    this.#host.refuse(SessionCloseCode.UNAUTHORIZED, admission.sentence, 'unauthorized');
    return 'refused';
  }

  /** A call that could not be brought to its page gives its place among its caller's back. Rejects as `bring` does. */
  async #orOver(call: Call, bring: () => Promise<void>): Promise<void> {
    try {
      await bring();
    } catch (error) {
      call.over({ closeCode: SessionCloseCode.INTERNAL, reason: 'it could not begin', error: 'internal' });
      throw error;
    }
  }

  async #resume(resume: Resume): Promise<void> {
    const found = await openResumption(resume, this.#context);
    if ('why' in found) this.#refuse(found.what, found.why);
    else if ('call' in found) await this.#attach(found.call, resume);
    else await this.#restore(found, resume);
  }

  async #attach(call: Call, resume: Resume): Promise<void> {
    // Its upstream is there: one that was dialled before the hello is not needed.
    this.#host.upstream()?.close();
    const ticket = await this.#ticketFor(call);
    if (this.#host.ended()) return;
    const why = call.ended
      ? 'unknown'
      : call.attach(this.#carrier, resume, (on) => this.#host.greet(call, ticket, on));
    if (why !== undefined) this.#refuse('call', why);
  }

  async #restore(
    { callId, snapshot }: { callId: string; snapshot: Parameters<Call['restore']>[2] },
    resume: Resume,
  ): Promise<void> {
    // The conversation has its session with it, unless that was too long to be sealed.
    const context = snapshot.session === undefined ? await this.#contextOfNew() : this.#context;
    if (context === undefined) return;
    const admission = this.#admit(this.#context.resume?.calls.get(callId) !== undefined);
    if (admission === 'refused') return;
    const call = new Call(callId, context, admission);
    await this.#orOver(call, async () => {
      const ticket = await this.#ticketFor(call);
      if (resume.move === true) await this.#host.openUpstream();
      const before = this.#context.resume?.calls.get(callId);
      const refused = this.#host.ended() || before?.olderThan(resume.attachment) === false;
      const why = refused
        ? 'superseded'
        : call.restore(this.#carrier, resume, snapshot, this.#host.upstream(), (on) => {
            before?.restoredElsewhere();
            this.#context.resume?.calls.add(call);
            this.#host.greet(call, ticket, on, snapshot.omittedItems);
          });
      if (why === undefined) return;
      call.over({ closeCode: SessionCloseCode.CALL_LOST, reason: why, error: undefined });
      this.#refuse('call', why);
    });
  }

  #refuse(what: 'ticket' | 'checkpoint' | 'call', why: ResumeRefusal): void {
    if (this.#host.ended()) return;
    this.#context.observer?.resumeRefused?.(what, why);
    this.#logger.info({ what, why }, 'a call was not resumed');
    const code = why === 'superseded' ? SessionCloseCode.ATTACHED_ELSEWHERE : SessionCloseCode.CALL_LOST;
    this.#host.refuse(code, resumeRefusalSentence(what, why));
  }

  #ticketFor(call: Call): Promise<string> {
    const { resume, caller } = this.#context;
    const subject = caller?.subject ?? '';
    const ticket: Ticket = { callId: call.id, incarnation: call.incarnation };
    return resume?.sealer.seal(SealKind.TICKET, subject, ticket) ?? Promise.resolve('none');
  }
}

/** The hello, which is the first message. Throws `VoiceProtocolError` for another, or one that asks for what is not spoken here. */
export function readHello(message: Message): HelloMessage {
  const hello = message.type === 'parley.hello' ? parseClientMessage(message) : undefined;
  if (hello?.type !== 'parley.hello') {
    throw new VoiceProtocolError(
      SessionCloseCode.MALFORMED,
      `The first message must be parley.hello, not ${message.type.slice(0, 64)}.`,
    );
  }
  if (hello.protocol !== VOICE_PROTOCOL || !hello.codecs.includes(VOICE_CODEC)) {
    throw new VoiceProtocolError(
      SessionCloseCode.UNSUPPORTED,
      `This backend speaks voice protocol ${VOICE_PROTOCOL} with the codec ${VOICE_CODEC}.`,
    );
  }
  return hello;
}
