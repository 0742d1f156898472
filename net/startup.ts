/** The forwarder cannot start; the message says why and what to do, one sentence per line. */
export class StartupError extends Error {
  override readonly name = 'StartupError';
}
