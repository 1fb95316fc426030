/** The page begins here: language, who asks, what stands around the views, and the view that the address names. */

import { byId } from "./element.js";
import { DocumentView } from "./document-view.js";
import { DocumentsView } from "./documents-view.js";
import * as intake from "./intake.js";
import * as language from "./language.js";
import { OperatorView } from "./operator-view.js";
import * as router from "./router.js";
import { SearchView } from "./search-view.js";
import { session } from "./session.js";
import { shell } from "./shell.js";
import { uploads } from "./uploads.js";

await language.open();
shell.draw(redraw);
shell.open();
intake.open(() => { if (location.pathname !== "/") router.go("/"); });
session.addEventListener("open", begin, { once: true });
session.addEventListener("left", leave);
session.open();

/** Somebody is known: show them what is theirs. */
function begin() {
  router.open([
    [/^\/$/, () => new DocumentsView()],
    [/^\/view\/([^/]+)$/, ([, id]) => new DocumentView(String(id))],
    [/^\/search$/, () => new SearchView()],
    [/^\/operator$/, () => new OperatorView()],
  ], (view) => shell.show(view));
  void uploads.restore();
}

/** Everything anew in another language; files on their way go on. */
function redraw() {
  shell.draw(redraw);
  router.draw();
}

/** Forget everything: whoever comes next begins with an empty page, also by the browser's way back. */
function leave() {
  uploads.leave();
  byId("app").replaceChildren();
  window.addEventListener("pageshow", () => location.reload());
  location.replace("/");
}
