export { openKeyLog } from './key-log.ts';
export { QlogDirectory } from './qlog-directory.ts';
