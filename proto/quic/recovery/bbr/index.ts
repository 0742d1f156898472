export { BbrController } from './bbr.ts';
