import type { Message, ReadyMessage, ServerMessage } from '../proto/voice/index.ts';
import type { LineAnswers } from './call-answers.ts';
import type { Resumed } from './call-types.ts';
import type { CarrierSession } from './dial.ts';
import type { CallError } from './errors.ts';
import type { Uplink } from './uplink-codec.ts';

/** What the line needs of its call. */
export interface LineHost {
  readonly answers: LineAnswers;
  /** A session stands, with what carries it. */
  opened(session: CarrierSession): void;
  /** The call began. */
  ready(message: ReadyMessage): void;
  /** The call has no session that answers: another is looked for. `error` is why, where the last one said so. */
  reconnecting(error: CallError | undefined): void;
  /** The silent session answers again. */
  recovered(): void;
  /** Another session carries the call. */
  resumed(message: ReadyMessage, how: Resumed): void;
  heard(): void;
  own(message: ServerMessage): void;
  event(message: Message): void;
  /** The transport took microphone audio, or the backend has more of it. */
  progress(): void;
  /** The network takes the microphone's audio in another way from now on; each second while it is slow. */
  uplink(uplink: Uplink): void;
  /** Time since the call began, in ms, at a moment of the page's clock. */
  elapsedMs(at: number): number;
  /** The call is over, and not by `close`. */
  failed(error: CallError): void;
}
