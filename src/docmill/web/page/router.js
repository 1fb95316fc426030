/** Which view an address shows. Links stay links: they can be opened elsewhere, kept and shared. */

/** @typedef {HTMLElement & {heading: string}} View */
/** @typedef {[RegExp, (match: RegExpMatchArray) => View]} Route */

/** @type {Route[]} */
let routes = [];
let drawn = "";
/** @type {(view: View) => void} */
let show = () => undefined;

/** @param {Route[]} known @param {(view: View) => void} onView */
export function open(known, onView) {
  routes = known;
  show = onView;
  history.scrollRestoration = "manual";
  document.addEventListener("click", follow);
  window.addEventListener("popstate", () => {
    if (address() === drawn) return; // within the view, as by the link that skips the rail
    draw();
    window.scrollTo({ top: Number(history.state?.top ?? 0) });
  });
  draw();
}

/** Go to an address of this page. @param {string} to */
export function go(to) {
  history.replaceState({ top: window.scrollY }, "");
  history.pushState({ top: 0 }, "", to);
  draw();
  window.scrollTo({ top: 0 });
  const hasFocus = document.querySelector("main")?.contains(document.activeElement); // where it begins with a field
  if (!hasFocus) /** @type {HTMLElement | null} */ (document.querySelector("main h1"))?.focus({ preventScroll: true });
}

const address = () => location.pathname + location.search;

/** Show the address anew. */
export function draw() {
  drawn = address();
  for (const [pattern, view] of routes) {
    const match = location.pathname.match(pattern);
    if (match) return show(view(match));
  }
  go("/");
}

/** A plain click on a link to one of our views goes there without a new page. @param {MouseEvent} event */
function follow(event) {
  const link = event.target instanceof Element ? event.target.closest("a") : null;
  const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!link || !isPlain || event.defaultPrevented || link.hasAttribute("download")) return;
  if (link.origin !== location.origin || link.hash || !routes.some(([pattern]) => pattern.test(link.pathname))) return;
  event.preventDefault();
  go(link.pathname + link.search);
}
