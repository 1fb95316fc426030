/** Where a person shows a key or a token. It lies over everything else, which stays as it was. */

import * as api from "./api.js";
import { element, say } from "./element.js";
import { wheel } from "./icons.js";
import { t } from "./language.js";
import { session } from "./session.js";

export class SignIn extends HTMLElement {
  #key = element("input", {
    id: "key", name: "key", type: "password", autocomplete: "current-password", autocapitalize: "none", spellcheck: "false",
    maxlength: 8192, "aria-describedby": "sign-in-problem sign-in-help",
  });
  #problem = element("p", { id: "sign-in-problem", class: "problem", role: "alert" });
  #isSending = false;

  connectedCallback() {
    const way = session.ways.length > 1 ? "both" : session.ways[0];
    // Password managers file a secret under a name, and a key has none that a person knows.
    const name = element("input", { name: "username", autocomplete: "username", value: "docmill", readonly: true, hidden: true });
    const form = element("form", { onsubmit: (/** @type {Event} */ event) => { event.preventDefault(); void this.#show(); } },
      name, element("label", { for: "key" }, t(`signIn.${way}`)), this.#key, this.#problem,
      element("button", { class: "primary" }, t("signIn.action")));
    this.setAttribute("role", "dialog");
    this.setAttribute("aria-modal", "true");
    this.setAttribute("aria-labelledby", "sign-in-title");
    this.toggleAttribute("data-first", session.who === null);
    this.replaceChildren(element("div", { class: "card" },
      element("p", { class: "brand" }, wheel(), element("span", {}, "docmill")),
      element("h1", { id: "sign-in-title" }, t("signIn.title")),
      session.who && element("p", {}, t("signIn.ended", { name: session.who.name ?? "" })),
      form,
      element("p", { id: "sign-in-help", class: "help" }, ...withCode(t(`signIn.${way}Help`)))));
    this.#key.focus();
  }

  /** Show the server what was entered; where it is good, the session opens. */
  async #show() {
    const key = this.#key.value.trim();
    if (!key) return this.#refuse(t("signIn.empty"));
    if (this.#isSending) return;
    this.#isSending = true;
    this.#refuse("");
    try {
      await session.signIn(key);
    } catch (error) {
      this.#refuse(error instanceof api.SignedOut ? t("signIn.wrong") : api.sentence(error));
    } finally {
      this.#isSending = false;
    }
  }

  /** @param {string} why empty where there is nothing wrong */
  #refuse(why) {
    say(this.#problem, why);
    this.#key.setAttribute("aria-invalid", String(why !== ""));
    if (why) this.#key.select();
  }
}

/** A sentence whose parts between backticks are typed as they are. @param {string} sentence */
const withCode = (sentence) => sentence.split("`").map((part, at) => (at % 2 ? element("code", {}, part) : part));

customElements.define("sign-in", SignIn);
