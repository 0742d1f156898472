export { openKeyLog } from './key-log.ts';
export { QlogDirectory } from './qlog-directory.ts';
export { QlogOnDemand } from './qlog-on-demand.ts';
