import { fileURLToPath } from 'node:url';
import { runLocalService } from './cli.ts';

export type { SessionAudit } from './audit.ts';
export { type Faults, parseFaults } from './faults.ts';
export {
  type RealtimeService,
  type ServiceObserver,
  type ServiceOptions,
  startRealtimeService,
} from './service.ts';

if (process.argv[1] === fileURLToPath(import.meta.url)) await runLocalService();
