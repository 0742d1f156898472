/** The process cannot start as configured. Its message is one clear sentence for a person; no stack is shown. */
export class StartupError extends Error {
  override readonly name = 'StartupError';
}
