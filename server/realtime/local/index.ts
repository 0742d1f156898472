export type { SessionAudit } from './audit.ts';
export { parseFaults } from './faults.ts';
export {
  type RealtimeService,
  type ServiceOptions,
  startRealtimeService,
} from './service.ts';
