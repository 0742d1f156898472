/** The process cannot start as configured; the message says why and what to do, one sentence per line, and no stack is shown. */
export class StartupError extends Error {
  override readonly name = 'StartupError';
}
