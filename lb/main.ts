import { runMain } from '../net/startup.ts';

await runMain(async () => (await import('./command.ts')).runForwarder);
