import type { CallSummary } from './call-list.ts';

const COLUMNS: readonly (readonly [string, (call: CallSummary) => string | number | undefined])[] = [
  ['session', ({ session }) => session],
  ['backend', ({ backend }) => backend],
  ['remote', ({ remote }) => remote],
  ['by', ({ carrier }) => carrier],
  ['how', ({ how }) => how],
  ['s', ({ seconds }) => seconds],
  ['rtt ms', ({ rttMs }) => rttMs],
  ['lost', ({ packetsLost, packetsSent }) => `${packetsLost}/${packetsSent}`],
  ['moved', ({ pathChanges }) => pathChanges],
  ['said s', ({ microphoneSeconds }) => microphoneSeconds],
  ['heard s', ({ answerSeconds }) => answerSeconds],
];

/** The calls as a table for a terminal. */
export function callTable(calls: readonly CallSummary[]): string {
  const rows = [
    COLUMNS.map(([name]) => name),
    ...calls.map((call) => COLUMNS.map(([, read]) => String(read(call) ?? '-'))),
  ];
  const widths = COLUMNS.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, i) => cell.padEnd(widths[i]!))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}
