export { StartupError } from '../net/startup.ts';
export { type Forwarder, type StartOptions, startForwarder } from './start.ts';
