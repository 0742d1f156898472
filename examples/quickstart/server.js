import { startBackend } from 'parley-voice/server';
import { settings, startForwarding } from '../shared.js';

await startBackend({ ...settings, session: { type: 'realtime', instructions: 'Be brief.' } });
await startForwarding();
