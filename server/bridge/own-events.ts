/** Begins the `event_id` of events that the bridge sends by itself: an error about one of them is no news to the page. */
export const OWN_EVENT_PREFIX = 'parley_';
