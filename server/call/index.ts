export { CallTable, type CallTableLimits, DEFAULT_CALL_TABLE_LIMITS, type TableCall } from './call-table.ts';
export { type Opened, Sealer, SealKind, type SealRefusal } from './seal.ts';
export {
  checkpointSchema,
  fitSnapshot,
  MAX_SEALED_AGE_SECONDS,
  type Ticket,
  ticketSchema,
} from './sealed.ts';
