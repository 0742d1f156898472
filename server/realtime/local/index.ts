export type { SessionAudit } from './audit.ts';
export { parseFaults } from './faults.ts';
export {
  type RealtimeService,
  type ServiceObserver,
  type ServiceOptions,
  startRealtimeService,
} from './service.ts';
