import type { OperatorAnswer, OperatorHandler, OperatorRequest } from '../operator-port.ts';
import { plainAnswer } from '../operator-port.ts';

/** The environment variable by which a worker knows its number. */
export const WORKER_VARIABLE = 'PARLEY_WORKER';

/** From a worker to its supervisor. */
export type WorkerMessage =
  | { readonly type: 'ready' }
  | { readonly type: 'answer'; readonly id: number; readonly answer: OperatorAnswer };

/** From a supervisor to a worker. */
export interface SupervisorMessage {
  readonly type: 'ask';
  readonly id: number;
  readonly request: OperatorRequest;
}

/** This process's number among the workers of a supervisor, from 0; `undefined` when it is none. */
export function workerIndex(env: NodeJS.ProcessEnv = process.env): number | undefined {
  const text = env[WORKER_VARIABLE];
  return text !== undefined && /^\d{1,3}$/.test(text) ? Number(text) : undefined;
}

/**
 * A worker's side of the channel: says that it is ready, answers what operators ask, and calls `onOrphaned` when the supervisor
 * is gone, since then nothing starts this process again or tells it to end.
 */
export function serveSupervisor(handler: OperatorHandler, onOrphaned: () => void): void {
  const tell = (message: WorkerMessage) => {
    // A supervisor that is gone is told by 'disconnect'; a failure to write says the same.
    if (process.connected) process.send?.(message, () => {});
  };
  process.on('message', ({ type, id, request }: SupervisorMessage) => {
    if (type !== 'ask') return;
    void Promise.resolve()
      .then(() => handler(request))
      .catch(() => plainAnswer(500, 'This worker could not answer.\n'))
      .then((answer) => tell({ type: 'answer', id, answer }));
  });
  process.once('disconnect', onOrphaned);
  tell({ type: 'ready' });
}
