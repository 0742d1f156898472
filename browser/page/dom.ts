/** The page's element with this ID. The page is ours, so a missing one is a fault of the build. */
export function element<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no element #${id}`);
  return found as T;
}

/** Sets text only where it differs, so that screen readers and layout are left in peace. */
export function setText(target: HTMLElement, text: string): void {
  if (target.textContent !== text) target.textContent = text;
}

export function make(tag: string, className: string, text = ''): HTMLElement {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

/** What can be scrolled must be reachable by keyboard; not every browser sees to that itself. */
export function reachable(list: HTMLElement): void {
  if (list.scrollHeight > list.clientHeight) list.tabIndex = 0;
}
