export { CallTable, type TableCall } from './call-table.ts';
export { type SealCipher, Sealer, SealKind, type SealRefusal } from './seal.ts';
export {
  checkpointSchema,
  fitSnapshot,
  MAX_SEALED_AGE_SECONDS,
  type Ticket,
  ticketSchema,
} from './sealed.ts';
