/**
 * Calls `wake` when the network may be back: the browser says that it is online, or the page is seen again after it was hidden,
 * frozen or kept for going back. Returns the way to stop it.
 */
export function onWake(wake: () => void): () => void {
  const visible = () => {
    if (document.visibilityState !== 'hidden') wake();
  };
  addEventListener('online', wake);
  addEventListener('pageshow', wake);
  document.addEventListener('visibilitychange', visible);
  return () => {
    removeEventListener('online', wake);
    removeEventListener('pageshow', wake);
    document.removeEventListener('visibilitychange', visible);
  };
}
