export { ForwarderList } from './forwarder-list.ts';
export { type LoadedCluster, loadClusterFile } from './load.ts';
export { type Ask, askDns, ClusterNames, namesIn, withAddresses } from './names.ts';
