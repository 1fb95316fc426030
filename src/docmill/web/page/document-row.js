/** One document in the list. It shows what it is given and holds no state of its own. */

/** @import {Status} from "./types.js" */

import { now } from "./api.js";
import { allowed } from "./document-wishes.js";
import { element, say } from "./element.js";
import { icon, glyph, kindOf, ring } from "./icons.js";
import { ago, bytes, date, percent, t } from "./language.js";
import { StageBar } from "./stage-bar.js";
import * as words from "./words.js";

/** @typedef {"retry" | "cancel" | "download" | "delete"} Wish what a person may want of a document */

const ICONS = /** @type {const} */ ({ retry: "retry", cancel: "cancel", download: "download", delete: "trash" });

/** What may be done with a document as it stands. @param {Status} status @returns {Wish[]} */
export function wishes(status) {
  if (!status.done) return ["cancel", "delete"];
  return status.status === "completed" ? ["download", "delete"] : ["retry", "delete"];
}

/** The sign and word of a state. @param {Status} status */
export function stateWord(status) {
  const waits = words.waitsForRetry(status);
  const warned = status.status === "completed" && status.warnings.some(({ code }) => code === "NO_TEXT");
  const state = waits ? "waiting" : warned ? "warned" : status.status;
  const sign = {
    queued: () => ring("queued"), processing: () => ring("processing"), waiting: () => ring("queued"),
    completed: () => icon("done"), warned: () => icon("warning"), failed: () => icon("failed"), cancelled: () => icon("cancelled"),
  }[state]();
  return element("span", { class: "state-word", "data-state": state }, sign, element("span", {}, t(`state.${state}`)));
}

export class DocumentRow extends HTMLElement {
  #glyph = element("span", { class: "kind" });
  #name = element("a", { class: "name" });
  #collection = element("span", { class: "collection" });
  #sentence = element("span", { class: "sentence", "data-role": "sentence" });
  #bar = new StageBar();
  #percent = element("span", { class: "percent", "data-role": "percent" });
  #state = element("span", { class: "state" });
  #size = element("span", { class: "size" });
  #age = element("time", { class: "age" });
  #actions = element("span", { class: "actions" });
  #drawn = "";

  connectedCallback() {
    if (this.firstChild) return;
    this.append(
      this.#glyph,
      element("span", { class: "title" }, this.#name, this.#collection),
      this.#sentence, this.#bar, this.#percent, this.#state, this.#size, this.#age, this.#actions);
  }

  /** @param {Status} status */
  show(status) {
    this.#showAge(status);
    const drawn = `${document.documentElement.lang} ${status.document_id} ${status.version} ${status.queue_position} ${status.eta_seconds}`;
    if (this.#drawn === drawn) return;
    this.#drawn = drawn;
    this.dataset.documentId = status.document_id;
    this.dataset.status = status.status;
    this.dataset.version = String(status.version);
    this.#showName(status);
    say(this.#sentence, words.sentence(status));
    this.#sentence.title = words.sentence(status);
    // Why it failed or waits is worth the whole width.
    this.toggleAttribute("data-wide", status.status === "failed" || words.waitsForRetry(status));
    this.#bar.show(status);
    say(this.#percent, percent(status.progress.percent));
    this.#showState(status);
    say(this.#size, bytes(status.size));
    this.#offer(status);
  }

  /** @param {Status} status */
  #showName({ document_id, filename, media_type, collection }) {
    const kind = kindOf(media_type, filename);
    if (this.#glyph.dataset.kind !== kind) this.#glyph.replaceChildren(glyph(kind));
    this.#glyph.dataset.kind = kind;
    this.#name.href = `/view/${document_id}`;
    this.#name.title = filename;
    say(this.#name, filename);
    say(this.#collection, collection ?? "");
  }

  /** @param {Status} status */
  #showState(status) {
    const word = stateWord(status);
    if (this.#state.dataset.state !== word.dataset.state || this.#state.textContent !== word.textContent) {
      this.#state.replaceChildren(word);
    }
    this.#state.dataset.state = word.dataset.state ?? "";
  }

  /** @param {Status} status */
  #showAge({ created_at }) {
    say(this.#age, ago(created_at, now()));
    if (this.#age.dateTime === created_at) return;
    this.#age.dateTime = created_at;
    this.#age.title = date(created_at);
  }

  /** @param {Status} status */
  #offer(status) {
    const offered = allowed(wishes(status));
    const key = `${offered} ${status.filename} ${document.documentElement.lang}`;
    if (this.#actions.dataset.offered === key) return;
    const focused = /** @type {HTMLElement | null} */ (this.#actions.querySelector(":focus"))?.dataset.wish;
    this.#actions.dataset.offered = key;
    this.#actions.replaceChildren(...offered.map((wish) => this.#button(wish, status.filename)));
    if (focused) /** @type {HTMLElement | null} */ (this.#actions.querySelector(`[data-wish=${focused}], button`))?.focus();
  }

  /** @param {Wish} wish @param {string} name */
  #button(wish, name) {
    const asked = () => this.dispatchEvent(new CustomEvent("wish", { bubbles: true, detail: wish }));
    return element("button", {
      type: "button", class: "icon-button", "data-wish": wish, title: t(`wish.${wish}`),
      "aria-label": t(`wish.${wish}Named`, { name }), onclick: asked,
    }, icon(ICONS[wish]));
  }
}

customElements.define("document-row", DocumentRow);
