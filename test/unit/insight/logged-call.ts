import { QlogDirectory } from '../../../server/insight/index.ts';
import { CLIENT_ADDRESS, type PairOptions, QuicPair } from '../../support/quic-pair.ts';

/** One connection that carries 100 kB to the server, changes its address and closes; both ends write qlog into `directory`. */
export async function loggedCall(directory: string, options: PairOptions = {}): Promise<QuicPair> {
  const logs = new QlogDirectory(directory);
  const observer = { observer: logs.observer };
  const pair = new QuicPair({ ...options, clientOptions: observer, serverOptions: observer });
  const { client, server } = pair.establish();
  const stream = client.openStream('unidirectional')!;
  client.writeStream(stream, new Uint8Array(100_000), true);
  pair.run(() => pair.has(client, 'streamFinished'));
  pair.translate(CLIENT_ADDRESS, { host: '198.51.100.7', port: 777 });
  client.ping();
  pair.run(() => pair.eventsOf(server, 'pathChanged').some((event) => event.validated));
  client.close(0, 'done');
  pair.run(undefined, 5000);
  await logs.close();
  return pair;
}
