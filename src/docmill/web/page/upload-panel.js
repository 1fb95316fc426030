/** The files whose bytes are still in this browser, in one panel with a line over all of them. */

/** @import {Upload} from "./uploads.js" */
/** @import {Wish} from "./upload-row.js" */

import { element, say } from "./element.js";
import { icon } from "./icons.js";
import { bytes, duration, t } from "./language.js";
import { poll } from "./poll.js";
import { UploadRow } from "./upload-row.js";
import { uploads } from "./uploads.js";

// More rows than this help nobody; the line over all of them counts every file.
const MOST_ROWS = 100;
const ORDER = { refused: 0, interrupted: 1, sending: 2, paused: 3, waiting: 4 };

export class UploadPanel extends HTMLElement {
  #title = element("h2", { id: "uploads-title" });
  #total = element("span", { class: "total" });
  #line = element("span", { class: "line", role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 }, element("span", { class: "fill" }));
  #all = element("span", { class: "buttons" });
  #refused = element("p", { class: "refused", role: "alert" });
  #rows = element("ul", { "aria-labelledby": "uploads-title" });
  #more = element("p", { class: "more" });
  /** @type {Map<string, {place: HTMLLIElement, row: UploadRow}>} */
  #shown = new Map();
  #closed = new AbortController();
  #drawing = 0;

  connectedCallback() {
    this.setAttribute("role", "region");
    this.setAttribute("aria-labelledby", "uploads-title");
    this.replaceChildren(element("div", { class: "head" }, this.#title, this.#total, this.#all), this.#line, this.#refused, this.#rows, this.#more);
    this.#closed = new AbortController();
    const { signal } = this.#closed;
    uploads.addEventListener("change", () => this.#drawSoon(), { signal });
    poll.addEventListener("answered", () => this.#drawSoon(), { signal }); // it may have stalled meanwhile
    this.#draw();
  }

  disconnectedCallback() {
    this.#closed.abort();
    cancelAnimationFrame(this.#drawing);
  }

  #drawSoon() {
    cancelAnimationFrame(this.#drawing);
    this.#drawing = requestAnimationFrame(() => this.#draw());
  }

  #draw() {
    this.hidden = uploads.list.length === 0;
    this.#showTotals();
    this.#offerAll();
    this.#showRefused();
    this.#showRows();
  }

  #showTotals() {
    const { files, acceptedFiles, size, sent, secondsLeft } = uploads.totals;
    const isSending = uploads.pending.length > 0;
    say(this.#title, isSending ? t("uploads.sending", { count: files, accepted: acceptedFiles }) : t("uploads.rest"));
    const left = secondsLeft === null ? "" : ` · ${t("uploads.left", { time: duration(Math.ceil(secondsLeft)) })}`;
    const total = isSending ? t("uploads.total", { sent: bytes(sent), size: bytes(size) }) + left : "";
    say(this.#total, total);
    this.#line.hidden = !isSending;
    this.#line.setAttribute("aria-label", t("uploads.label"));
    this.#line.setAttribute("aria-valuenow", String(size ? Math.floor((100 * sent) / size) : 0));
    this.#line.setAttribute("aria-valuetext", `${this.#title.textContent}, ${total}`);
    /** @type {HTMLElement} */ (this.#line.firstChild).style.inlineSize = `${size ? (100 * sent) / size : 0}%`;
  }

  /** Buttons for all files, where there is more than one. */
  #offerAll() {
    const has = (/** @type {Upload["state"][]} */ ...states) => uploads.list.some(({ state }) => states.includes(state));
    const offered = uploads.list.length < 2 ? [] : [
      has("waiting", "sending") && "pauseAll", has("paused") && "resumeAll", "removeAll",
    ].filter((name) => name !== false);
    const key = `${offered} ${document.documentElement.lang}`;
    if (this.#all.dataset.offered === key) return;
    this.#all.dataset.offered = key;
    this.#all.replaceChildren(...offered.map((name) => this.#allButton(/** @type {"pauseAll" | "resumeAll" | "removeAll"} */ (name))));
  }

  /** @param {"pauseAll" | "resumeAll" | "removeAll"} name */
  #allButton(name) {
    const sign = { pauseAll: "pause", resumeAll: "resume", removeAll: "cancel" }[name];
    return element("button", { type: "button", class: "small", onclick: () => uploads[name]() },
      icon(/** @type {any} */ (sign)), t(`uploads.${name}`));
  }

  /** Said once as an alert; each refused file says in its row what to do. */
  #showRefused() {
    const refused = uploads.list.filter(({ state }) => state === "refused");
    say(this.#refused, refused.length ? t("uploads.refused", { count: refused.length }) : "");
  }

  #showRows() {
    const sorted = uploads.list.map((upload, at) => ({ upload, at }))
      .sort((one, other) => ORDER[one.upload.state] - ORDER[other.upload.state] || one.at - other.at);
    const shown = sorted.slice(0, MOST_ROWS);
    const wanted = new Set(shown.map(({ upload }) => upload.id));
    for (const [id, { place }] of this.#shown) if (!wanted.has(id)) this.#drop(id, place);
    const focused = this.#rows.contains(document.activeElement) ? document.activeElement : null;
    let before = /** @type {Element | null} */ (null);
    for (const { upload } of shown) {
      const { place, row } = this.#rowOf(upload);
      const follows = before ? before.nextSibling : this.#rows.firstChild;
      if (follows !== place) this.#rows.insertBefore(place, follows);
      before = place;
      row.show(upload);
    }
    if (focused?.isConnected) /** @type {HTMLElement} */ (focused).focus(); // its row may have moved
    say(this.#more, sorted.length > MOST_ROWS ? t("uploads.more", { count: sorted.length - MOST_ROWS }) : "");
  }

  /** @param {Upload} upload */
  #rowOf(upload) {
    let shown = this.#shown.get(upload.id);
    if (!shown) {
      const row = new UploadRow();
      row.addEventListener("wish", (event) => this.#do(/** @type {CustomEvent<Wish>} */ (event).detail, upload));
      shown = { row, place: element("li", {}, row) };
      this.#shown.set(upload.id, shown);
    }
    return shown;
  }

  /** @param {string} id @param {HTMLElement} place */
  #drop(id, place) {
    const hadFocus = place.contains(document.activeElement);
    const heir = place.nextElementSibling ?? place.previousElementSibling;
    place.remove();
    this.#shown.delete(id);
    if (hadFocus) (heir?.querySelector("button") ?? document.querySelector("main"))?.focus();
  }

  /** @param {Wish} wish @param {Upload} upload */
  async #do(wish, upload) {
    if (wish === "pause") uploads.pause(upload);
    else if (wish === "remove") uploads.remove(upload);
    else if (wish !== "reopen") uploads.resume(upload);
    else if (!(await uploads.reopen(upload))) this.dispatchEvent(new Event("choose", { bubbles: true }));
  }
}

customElements.define("upload-panel", UploadPanel);
