export { ForwarderList } from './forwarder-list.ts';
export { loadClusterFile } from './load.ts';
export { type Ask, askDns, ClusterNames, namesIn, withAddresses } from './names.ts';
