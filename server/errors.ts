export { StartupError } from '../net/startup.ts';
