import type { CloseReason, QuicConnection, QuicEvent } from '../../../proto/quic/index.ts';
import type { Role } from '../checkers/streams.ts';
import type { CallPlan } from './plan.ts';

/** How one side's part in a call ended. */
export type Ending = CloseReason | { readonly kind: 'crashed' };

/** What a call needs of the host of one of its sides. */
export interface CallHost {
  later(ms: number, action: () => void): void;
  migrate(connection: QuicConnection): void;
  meet(what: string): void;
  /** A line for readers of the trace. */
  note(text: () => string): void;
}

/** What the two applications of a call do over its connection. */
export interface Work {
  /** A side's connection is complete. */
  start(connection: QuicConnection, host: CallHost): void;
  handle(role: Role, event: QuicEvent): void;
  sendDatagrams(role: Role): void;
  /** All is said and done: called before the close. */
  readonly onClosing: () => void;
  readonly progress: string;
}

/** What the applications see of the call that they belong to. */
export interface WorkCall {
  readonly plan: CallPlan;
  readonly endings: Readonly<Record<Role, Ending | undefined>>;
  connection(role: Role): QuicConnection | undefined;
}
