/** The library's own types stand for browsers and for Node by condition; beside both of their globals neither set fits. */
declare module '@fails-components/webtransport' {
  // biome-ignore lint/suspicious/noExplicitAny: browser/ checks its use against the library's types
  export const WebTransportPonyfill: any;
}
