export { KEY_LOG_VARIABLE, openKeyLog } from './key-log.ts';
export { QlogDirectory, type QlogLimits } from './qlog-directory.ts';
export { QlogTrace } from './qlog-trace.ts';
