import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { listenFault } from './listen-fault.ts';
import { StartupError } from './startup.ts';
import type { Address } from './udp/index.ts';

/** A request of an operator, or of what watches for one. Plain values: supervisors hand it on to their workers. */
export interface OperatorRequest {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  /** What follows the `?`, if anything. */
  readonly query: string;
  /** The Authorization header, if there is one. */
  readonly authorization?: string | undefined;
}

export interface OperatorAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** Answers operators. What it throws becomes a 500 without its text. */
export type OperatorHandler = (request: OperatorRequest) => Promise<OperatorAnswer> | OperatorAnswer;

export const plainAnswer = (status: number, body: string): OperatorAnswer => ({
  status,
  contentType: 'text/plain; charset=utf-8',
  body,
});

export interface OperatorPort {
  readonly address: Address;
  close(): Promise<void>;
}

/**
 * Serves operators over HTTP: `/metrics`, `/healthz` and what else `handler` knows. Rejects with `StartupError` when the port cannot
 * be opened; `setting` is what sets it.
 */
export async function openOperatorPort(
  address: Address,
  handler: OperatorHandler,
  setting: string,
): Promise<OperatorPort> {
  const server = createServer((request, response) => {
    const [path = '/', query = ''] = (request.url ?? '/').split('?', 2);
    const { authorization } = request.headers;
    const asked: OperatorRequest = { method: request.method ?? 'GET', path, query, authorization };
    void Promise.resolve()
      .then(() => handler(asked))
      .catch(() => plainAnswer(500, 'This could not be answered; the log may say why.\n'))
      .then(({ status, contentType, body }) => {
        response.writeHead(status, { 'content-type': contentType }).end(body);
      });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) =>
      reject(new StartupError(listenFault('metrics', 'tcp', address, error, setting))),
    );
    server.listen(address.port, address.host, resolve);
  });
  return {
    address: { host: address.host, port: (server.address() as AddressInfo).port },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
