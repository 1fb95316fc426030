/** What stands around every view: the rail, the banner, what is told, and the reader's choices. */

/** @import {Summary} from "./types.js" */
/** @import {View} from "./router.js" */

import * as api from "./api.js";
import { chooseNotice, notify, toast, wantsNotice } from "./announce.js";
import { byId, element, say } from "./element.js";
import { icon, wheel } from "./icons.js";
import * as language from "./language.js";
import { poll } from "./poll.js";
import * as preferences from "./preferences.js";
import { confirmed } from "./question.js";
import * as router from "./router.js";
import { session } from "./session.js";
import { SignIn } from "./sign-in.js";
import { uploads } from "./uploads.js";

const { t } = language;

/** @type {[string, "documents" | "search" | "operator"][]} */
const VIEWS = [["/", "documents"], ["/search", "search"], ["/operator", "operator"]];
const NO_FILTER = { q: "", status: "", collection: "", sort: "" };
const THEMES = ["auto", "light", "dark"];

class Shell {
  #isLost = false;
  /** @type {api.Refused | null} why the view's question is not answered */
  #refused = null;
  #scopes = "";
  #who = element("div", { class: "who" });
  /** @type {Summary | null} */
  #summary = null;
  #wasBusy = false;
  #heading = "";

  /** Build it, in the language in use. @param {() => void} onLanguage called when another one was chosen */
  draw(onLanguage) {
    byId("app").replaceChildren(
      element("a", { class: "skip", href: "#main" }, t("shell.skip")),
      this.#rail(onLanguage),
      element("main", { id: "main", tabindex: -1 }, element("p", { id: "banner", role: "alert", hidden: true }), element("div", { id: "view" })),
      element("div", { id: "drop-cover", "aria-hidden": "true" }, element("span", {}, t("zone.dropNow"))),
      element("div", { id: "toasts" }),
      element("p", { id: "announcements", class: "visually-hidden", role: "status" }));
    useTheme(preferences.chosen("theme") ?? "auto");
    this.#showWho();
    this.#showBanner();
  }

  /** Listen to what every view wants to know. */
  open() {
    poll.addEventListener("lost", () => this.#reachable(false));
    poll.addEventListener("found", () => this.#reachable(true));
    poll.addEventListener("refused", (event) => this.#refuse(/** @type {CustomEvent<api.Refused>} */ (event).detail));
    session.addEventListener("open", () => this.#unlock());
    session.addEventListener("closed", () => this.#lock());
    poll.alsoHidden = wantsNotice();
    uploads.addEventListener("change", () => this.#showTitle());
    uploads.addEventListener("trouble", () => poll.now());
    uploads.addEventListener("ended", (event) => {
      const { files, existing } = /** @type {CustomEvent<import("./uploads.js").Accepted>} */ (event).detail;
      const added = files > existing ? t("said.accepted", { count: files - existing }) : "";
      const known = existing ? t("said.existing", { count: existing }) : "";
      toast(`${added} ${known}`.trim());
    });
    window.addEventListener("beforeunload", (event) => {
      if (uploads.pending.length > 0) event.preventDefault();
    });
  }

  /** @param {View} view */
  show(view) {
    this.#refuse(null);
    byId("view").replaceChildren(view);
    this.#heading = view.heading;
    for (const link of document.querySelectorAll(".rail nav a")) {
      const isCurrent = link.getAttribute("href") === (location.pathname.startsWith("/view/") ? "/" : location.pathname);
      if (isCurrent) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    this.#showTitle();
  }

  /** The view has another heading now. @param {string} heading */
  entitle(heading) {
    this.#heading = heading;
    this.#showTitle();
  }

  /** How everything stands, as the server counted it. @param {Summary} summary */
  tell(summary) {
    this.#summary = summary;
    const isBusy = this.#unfinished > 0;
    if (this.#wasBusy && !isBusy) {
      toast(t("said.ended"));
      notify(t("said.ended"));
    }
    this.#wasBusy = isBusy;
    this.#showBanner();
    this.#showTitle();
  }

  /** What a view asks that shows no documents itself: how all of them stand.
   * @param {AbortSignal} signal @returns {Promise<import("./poll.js").Answered>} */
  async ask(signal) {
    const { body, retryAfter } = await api.poll(api.statuses([], NO_FILTER), signal);
    this.tell(body.summary);
    return { changed: false, retryAfter };
  }

  get #unfinished() {
    return (this.#summary?.counts.queued ?? 0) + (this.#summary?.counts.processing ?? 0);
  }

  #showTitle() {
    const working = this.#unfinished + uploads.pending.length;
    const badge = document.querySelector(".rail .badge");
    if (badge) say(badge, working ? language.number(working) : "");
    const title = `${working ? `(${working}) ` : ""}${this.#heading} · docmill`;
    if (document.title !== title) document.title = title;
  }

  /** @param {boolean} is */
  #reachable(is) {
    this.#isLost = !is;
    this.#showBanner();
  }

  #showBanner() {
    const banner = byId("banner");
    const nobody = this.#summary?.live_workers === 0 && this.#unfinished > 0;
    const paused = this.#unfinished > 0 ? this.#summary?.paused ?? [] : [];
    const text = this.#isLost ? t("banner.unreachable")
      : this.#refused ? this.#refused.sentence
      : nobody ? t("banner.noWorker")
      : paused.length ? t("banner.paused", { stages: language.list(paused.map((stage) => t(`stage.${stage}`))) }) : "";
    say(banner, text);
    banner.hidden = text === "";
    document.body.toggleAttribute("data-lost", this.#isLost);
  }

  /** @param {api.Refused | null} refused */
  #refuse(refused) {
    this.#refused = refused;
    this.#showBanner();
  }

  // who asks ----------------------------------------------------------------------------

  /** Nobody is signed in. What was last known stays as it is, out of reach. */
  #lock() {
    byId("app").inert = true;
    if (!document.querySelector("sign-in")) document.body.append(new SignIn());
  }

  /** Somebody is: go on where it was, or with what another key may do. */
  #unlock() {
    byId("app").inert = false;
    document.querySelector("sign-in")?.remove();
    this.#showWho();
    const scopes = String(session.who?.scopes);
    if (this.#scopes && this.#scopes !== scopes) router.draw();
    this.#scopes = scopes;
  }

  #showWho() {
    for (const link of document.querySelectorAll(".rail [href='/operator']")) {
      /** @type {HTMLElement} */ (link.closest("li")).hidden = !session.may("admin");
    }
    this.#who.hidden = session.who === null || !session.isGuarded;
    this.#who.replaceChildren(
      element("span", { class: "mono", title: session.who?.name }, session.who?.name),
      element("button", { type: "button", class: "small", onclick: () => void signOut() }, t("shell.signOut")));
  }

  // the rail ----------------------------------------------------------------------------

  /** @param {() => void} onLanguage */
  #rail(onLanguage) {
    const links = VIEWS.map(([href, name]) => element("li", {}, element("a", { href }, icon(name), element("span", {}, t(`view.${name}`)),
      name === "documents" && element("span", { class: "badge" }))));
    return element("header", { class: "rail" },
      element("a", { class: "brand", href: "/" }, wheel(), element("span", {}, "docmill")),
      element("nav", { "aria-label": t("shell.views") }, element("ul", {}, ...links)),
      element("div", { class: "choices" },
        this.#who,
        choice(t("shell.theme"), THEMES.map((name) => [name, t(`theme.${name}`)]), preferences.chosen("theme") ?? "auto", (name) => {
          preferences.choose("theme", name);
          useTheme(name);
        }),
        choice(t("shell.language"), Object.entries(language.LANGUAGES).map(([tag, { name }]) => [tag, name]), language.current(), async (tag) => {
          await language.choose(tag);
          onLanguage();
        }),
        noticeChoice()));
  }
}

/** @param {string} label @param {[string, string][]} options @param {string} chosen @param {(value: string) => void} onChoice */
function choice(label, options, chosen, onChoice) {
  const select = element("select", { onchange: () => onChoice(select.value) },
    ...options.map(([value, text]) => element("option", { value, selected: value === chosen }, text)));
  return element("label", {}, element("span", {}, label), select);
}

function noticeChoice() {
  const box = element("input", { type: "checkbox", checked: wantsNotice(), onchange: async () => {
    box.checked = await chooseNotice(box.checked);
    poll.alsoHidden = box.checked;
  } });
  return "Notification" in window && element("label", { class: "notice" }, box, element("span", {}, t("shell.notice")));
}

/** End the session, after a question where bytes are still here. */
async function signOut() {
  const count = uploads.pending.length;
  const asked = { title: t("question.signOut"), body: t("question.signOutBody", { count }), action: t("shell.signOut"), keep: t("question.stay") };
  if (count > 0 && !(await confirmed(asked))) return;
  await session.signOut().catch((error) => toast(api.sentence(error), "bad"));
}

/** @param {string} name */
function useTheme(name) {
  document.documentElement.dataset.theme = name;
}

export const shell = new Shell();
