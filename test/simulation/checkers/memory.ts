import type { QuicConnection, QuicEndpoint } from '../../../proto/quic/index.ts';
import { Violation } from '../violation.ts';

/** Holds what connections and endpoints keep to their bounds. */
export class MemoryChecker {
  checkConnection(_host: string, _connection: QuicConnection): void {}

  /** All calls of this endpoint are over and all timers ran out. */
  checkEmpty(host: string, endpoint: QuicEndpoint): void {
    const { connections, halfOpen } = endpoint.stats();
    const deadline = endpoint.deadline();
    if (connections === 0 && halfOpen === 0 && deadline === undefined) return;
    throw new Violation(
      'memory',
      `${host} still has ${connections} connections (${halfOpen} half-open) and the deadline ${deadline} when all is over`,
    );
  }
}
