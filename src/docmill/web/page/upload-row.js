/** One file whose bytes are still in this browser: how much of it left, and what may be done. */

/** @import {Upload} from "./uploads.js" */

import { element, say } from "./element.js";
import { glyph, icon, kindOf } from "./icons.js";
import { bytes, number, t } from "./language.js";

/** @typedef {"pause" | "resume" | "retry" | "reopen" | "remove"} Wish */

const ICONS = /** @type {const} */ ({ pause: "pause", resume: "resume", retry: "retry", reopen: "folder", remove: "cancel" });

// Sent again, it would be refused again.
const HOPELESS = new Set(["FILE_EMPTY", "FILE_TOO_LARGE"]);

/** What may be done with a file as it stands. @param {Upload} upload @returns {Wish[]} */
function wishes({ state, problem }) {
  if (state === "waiting" || state === "sending") return ["pause", "remove"];
  if (state === "paused") return ["resume", "remove"];
  if (state === "interrupted") return ["reopen", "remove"];
  return HOPELESS.has(problem?.code ?? "") ? ["remove"] : ["retry", "remove"];
}

/** @param {Upload} upload */
export function sentence(upload) {
  const sent = { sent: bytes(upload.sent), total: bytes(upload.size), name: upload.name };
  switch (upload.state) {
    case "waiting": return t("upload.waiting", sent);
    case "paused": return t("upload.paused", sent);
    case "refused": return upload.problem?.sentence ?? "";
    case "interrupted": return interrupted(upload);
    default:
      if (upload.trouble) return t(`upload.${upload.trouble}`, sent);
      return t(upload.isStalled ? "upload.stalled" : "upload.sending", sent);
  }
}

/** @param {Upload} upload */
function interrupted({ name, sent, size, handle }) {
  const share = number(size ? sent / size : 0, { style: "percent" });
  return t(handle ? "upload.continue" : "upload.reselect", { name, share });
}

export class UploadRow extends HTMLElement {
  #kind = element("span", { class: "kind" });
  #name = element("span", { class: "name" });
  #path = element("span", { class: "path" });
  #sentence = element("span", { class: "sentence", "data-role": "sentence" });
  #line = element("span", { class: "line", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 }, element("span", { class: "fill" }));
  #actions = element("span", { class: "actions" });
  #drawn = "";

  connectedCallback() {
    if (this.firstChild) return;
    this.append(this.#kind, element("span", { class: "title" }, this.#name, this.#path), this.#sentence, this.#line, this.#actions);
  }

  /** @param {Upload} upload */
  show(upload) {
    const drawn = `${document.documentElement.lang} ${upload.state} ${upload.sent} ${upload.trouble} ${upload.isStalled} ${upload.problem?.code}`;
    if (this.#drawn === drawn) return;
    this.#drawn = drawn;
    this.dataset.state = upload.state;
    this.dataset.trouble = upload.trouble ?? "";
    if (!this.#kind.firstChild) this.#kind.append(glyph(kindOf(null, upload.name)));
    say(this.#name, upload.name);
    say(this.#path, upload.path.split("/").slice(0, -1).join(" / "));
    say(this.#sentence, sentence(upload));
    this.#showLine(upload);
    this.#offer(upload);
  }

  /** @param {Upload} upload */
  #showLine(upload) {
    const share = upload.size ? Math.min(1, upload.sent / upload.size) : 0;
    this.#line.hidden = upload.state === "refused";
    this.#line.setAttribute("aria-label", t("upload.label", { name: upload.name }));
    this.#line.setAttribute("aria-valuenow", String(Math.floor(share * 100)));
    this.#line.setAttribute("aria-valuetext", sentence(upload));
    /** @type {HTMLElement} */ (this.#line.firstChild).style.inlineSize = `${share * 100}%`;
  }

  /** @param {Upload} upload */
  #offer(upload) {
    const offered = wishes(upload);
    const key = `${offered} ${document.documentElement.lang}`;
    if (this.#actions.dataset.offered === key) return;
    const focused = this.#actions.contains(document.activeElement);
    this.#actions.dataset.offered = key;
    this.#actions.replaceChildren(...offered.map((wish) => this.#button(wish, upload.name)));
    if (focused) this.#actions.querySelector("button")?.focus();
  }

  /** @param {Wish} wish @param {string} name */
  #button(wish, name) {
    const asked = () => this.dispatchEvent(new CustomEvent("wish", { bubbles: true, detail: wish }));
    return element("button", {
      type: "button", class: "icon-button", "data-wish": wish, title: t(`uploadWish.${wish}`),
      "aria-label": t(`uploadWish.${wish}Named`, { name }), onclick: asked,
    }, icon(ICONS[wish]));
  }
}

customElements.define("upload-row", UploadRow);
