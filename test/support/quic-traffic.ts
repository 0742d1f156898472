import type { QuicConnection, QuicEvent } from '../../proto/quic/index.ts';
import type { QuicPair } from './quic-pair.ts';

/** Octets whose every place is checked: octet i of stream s. */
export function patternOctets(streamId: number, length: number): Uint8Array {
  const out = new Uint8Array(length);
  for (let i = 0; i < length; i++) out[i] = (i * 31 + (i >> 8) * 7 + streamId * 13) & 0xff;
  return out;
}

/** Reads whatever comes on streams, and can send it back. */
export class StreamSink {
  readonly received = new Map<string, { parts: Uint8Array[]; length: number; fin: boolean }>();
  readonly #connections = new Map<QuicConnection, string>();
  readonly #echo = new Set<QuicConnection>();

  /** Watches a connection under a name; with `echo`, bidirectional streams of the peer are answered with their octets. */
  watch(name: string, connection: QuicConnection, echo = false): void {
    this.#connections.set(connection, name);
    if (echo) this.#echo.add(connection);
  }

  handle = (connection: QuicConnection, event: QuicEvent): void => {
    const name = this.#connections.get(connection);
    if (name === undefined || event.type !== 'streamReadable') return;
    const key = `${name} ${event.streamId}`;
    const state = this.received.get(key) ?? { parts: [], length: 0, fin: false };
    this.received.set(key, state);
    const own = (event.streamId & 1) === (connection.role === 'client' ? 0 : 1);
    const answer = this.#echo.has(connection) && !own && (event.streamId & 2) === 0;
    for (
      let read = connection.readStream(event.streamId);
      read;
      read = connection.readStream(event.streamId)
    ) {
      state.parts.push(read.data.slice());
      state.length += read.data.length;
      state.fin ||= read.fin;
      if (answer) connection.writeStream(event.streamId, read.data.slice(), read.fin);
    }
  };

  octets(name: string, streamId: number): Uint8Array {
    return Buffer.concat(this.received.get(`${name} ${streamId}`)?.parts ?? []);
  }

  finished(name: string, streamId: number): boolean {
    return this.received.get(`${name} ${streamId}`)?.fin ?? false;
  }
}

/** Sends `length` patterned octets on a new bidirectional stream to an echoing server and runs until all are back. */
export function echo(
  pair: QuicPair,
  client: QuicConnection,
  server: QuicConnection,
  length: number,
): Uint8Array {
  const sink = new StreamSink();
  sink.watch('client', client);
  sink.watch('server', server, true);
  pair.onEvent = sink.handle;
  const streamId = client.openStream('bidirectional')!;
  client.writeStream(streamId, patternOctets(streamId, length), true);
  pair.run(() => sink.finished('client', streamId), 600_000);
  return sink.octets('client', streamId);
}
