import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { QlogTrace } from '../../../server/insight/qlog-trace.ts';
import { loggedCall } from './logged-call.ts';

/*
 * What qvis demands of a file, as its sources read it (quiclog/qvis, October 2025: FileLoader.ts, textsequencejsontoqlog.ts,
 * QlogLoaderV2.ts, the renderers of the congestion and sequence diagrams). It was loaded by that very code once, by hand;
 * this follows the same steps, and fails where qvis would refuse, reorder, repair or show nothing.
 */

/** Versions that QlogLoaderV2 takes (`Defaults.versionAliases`). */
const VERSIONS = ['draft-02', 'draft-02-RC1', 'qlog-03-WIP', '0.3'];
const PACKET_TYPES = ['initial', 'handshake', '0RTT', '1RTT', 'retry'];
/** What the renderers read of each frame, beside `frame_type`. */
const FRAME_FIELDS: Readonly<Record<string, readonly string[]>> = {
  ack: ['ack_delay', 'acked_ranges'],
  crypto: ['offset', 'length'],
  stream: ['stream_id', 'offset', 'length', 'fin'],
  reset_stream: ['stream_id', 'error_code', 'final_size'],
  stop_sending: ['stream_id', 'error_code'],
  max_data: ['maximum'],
  max_stream_data: ['stream_id', 'maximum'],
  max_streams: ['stream_type', 'maximum'],
  data_blocked: ['limit'],
  stream_data_blocked: ['stream_id', 'limit'],
  streams_blocked: ['stream_type', 'limit'],
  new_connection_id: ['sequence_number', 'retire_prior_to', 'connection_id'],
  retire_connection_id: ['sequence_number'],
  connection_close: ['error_space', 'error_code', 'reason'],
};

interface Event {
  readonly time: number;
  readonly name: string;
  readonly data: Record<string, unknown> & {
    readonly header?: Record<string, unknown>;
    readonly raw?: { readonly length: number };
    readonly frames?: readonly (Record<string, unknown> & { readonly frame_type: string })[];
  };
}

interface Head {
  readonly qlog_version: string;
  readonly qlog_format: string;
  readonly trace: {
    readonly title: string;
    readonly vantage_point: { readonly type: string; readonly name: string };
    readonly common_fields: Record<string, unknown>;
    readonly configuration?: object;
    readonly event_fields?: object;
  };
}

let directory: string;
let traces: { readonly name: string; readonly head: Head; readonly events: readonly Event[] }[];
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'parley-qvis-'));
  await loggedCall(directory, { seed: 4, loss: { toServer: 0.05, toClient: 0.05 } });
  traces = readdirSync(directory).map((name) => ({
    name,
    ...load(readFileSync(join(directory, name), 'utf8')),
  }));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

/** Cuts at each record separator, leaves out what is empty, takes the first for the head. */
function load(text: string): { head: Head; events: readonly Event[] } {
  const records = text.split('\u001E').map((record) => record.trim());
  const [head, ...events] = records
    .filter((record) => record !== '')
    .map((record) => JSON.parse(record) as unknown);
  return { head: head as Head, events: events as Event[] };
}

/** The largest packet number of each range that a packet acknowledges. */
function acknowledged({ frames = [] }: Event['data']): number[] {
  return frames
    .filter((frame) => frame.frame_type === 'ack')
    .flatMap((frame) => (frame.acked_ranges as [number, number][]).map(([, largest]) => largest));
}

describe('a qlog file as qvis loads it', () => {
  it('is taken for a text sequence by its name, and its head has version, format and trace', () => {
    expect(traces).toHaveLength(2);
    for (const { name, head } of traces) {
      expect(name).toMatch(/\.sqlog$/);
      expect(VERSIONS).toContain(head.qlog_version);
      expect(head.qlog_format).toBe('JSON-SEQ');
      expect(head.trace.title).toMatch(/^Parley (client|server) [0-9a-f]+$/);
      expect(head.trace.event_fields).toBeUndefined();
    }
    expect(traces.map(({ head }) => head.trace.vantage_point.type).sort()).toEqual(['client', 'server']);
  });

  it('has times that qvis understands, in order, and events that it does not split into groups', () => {
    for (const { head, events } of traces) {
      expect(head.trace.common_fields.time_format).toBe('relative');
      expect(head.trace.common_fields.reference_time).toBeTypeOf('number');
      let last = -1;
      for (const event of events) {
        expect(event.time).toBeGreaterThanOrEqual(last);
        last = event.time;
        expect(event.name.split(':')).toHaveLength(2);
        expect(event).not.toHaveProperty('group_id');
      }
    }
  });

  it('has them in order when the owner closes long after the last packet came, too', () => {
    const address = { host: '127.0.0.1', port: 1 };
    const path = { local: address, remote: address };
    const connection = { role: 'server', originalDestination: new Uint8Array(8), path } as const;
    const records: string[] = [];
    const trace = new QlogTrace(connection, 1000, 0, (record) => records.push(record));
    trace.packetSent('application', 1, 50, path, 1200, [{ type: 'ping' }]);
    trace.closed({ kind: 'application', by: 'local', code: 0, reason: '' }, 1100);
    expect(load(records.join('')).events.map(({ time }) => time)).toEqual([0, 200, 200]);
  });

  it('has nothing that qvis repairs with an alert', () => {
    for (const { events } of traces) {
      for (const { data } of events) {
        expect(data).not.toHaveProperty('packet_type');
        expect(data.header ?? {}).not.toHaveProperty('packet_size');
        expect(data.header ?? {}).not.toHaveProperty('payload_length');
      }
    }
  });

  it('has in each packet what the diagrams draw: type, number, length and the fields of its frames', () => {
    for (const { events } of traces) {
      const packets = events.filter(({ name }) => /^transport:packet_(sent|received)$/.test(name));
      expect(packets.length).toBeGreaterThan(20);
      for (const { data } of packets) {
        expect(PACKET_TYPES).toContain(data.header?.packet_type);
        expect(data.header?.packet_number).toBeTypeOf('number');
        expect(data.raw?.length).toBeGreaterThan(0);
        expect(data.frames?.length).toBeGreaterThan(0);
        for (const frame of data.frames ?? []) {
          expect(Object.keys(frame)).toEqual(
            expect.arrayContaining([...(FRAME_FIELDS[frame.frame_type] ?? [])]),
          );
        }
      }
    }
  });

  it('says of acknowledged and lost packets which they were, all of them sent before', () => {
    let lost = 0;
    for (const { events } of traces) {
      const sent = new Set<string>();
      for (const { name, data } of events) {
        const { packet_type: type, packet_number: number } = data.header ?? {};
        if (name === 'transport:packet_sent') sent.add(`${type} ${number}`);
        else if (name === 'recovery:packet_lost') {
          lost += 1;
          expect(sent).toContain(`${type} ${number}`);
        } else if (name === 'transport:packet_received') {
          for (const largest of acknowledged(data)) expect(sent).toContain(`${type} ${largest}`);
        }
      }
      expect(events.flatMap(({ data }) => acknowledged(data)).length).toBeGreaterThan(0);
    }
    expect(lost).toBeGreaterThan(0);
  });

  it('has the figures of the congestion diagram, as numbers', () => {
    for (const { events } of traces) {
      const limits = events.find(
        ({ name, data }) => name === 'transport:parameters_set' && data.owner === 'remote',
      );
      expect(limits?.data.initial_max_data).toBeTypeOf('number');
      expect(limits?.data.initial_max_stream_data_bidi_remote).toBeTypeOf('number');
      const metrics = events
        .filter(({ name }) => name === 'recovery:metrics_updated')
        .map(({ data }) => data);
      for (const key of ['congestion_window', 'bytes_in_flight', 'min_rtt', 'smoothed_rtt', 'latest_rtt']) {
        expect(metrics.some((data) => typeof data[key] === 'number')).toBe(true);
      }
    }
  });
});
