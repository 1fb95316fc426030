/**
 * A document's text beside the passages that were cut from it, a page at a time; of a page that is
 * long, a stretch at a time. A passage that is pointed at in one column is marked in the other.
 */

/** @import {Leaf, Passage} from "./types.js" */

import * as api from "./api.js";
import { element, say } from "./element.js";
import { icon } from "./icons.js";
import { t } from "./language.js";
import { Latest } from "./latest.js";
import { pages } from "./words.js";

const PREVIEW = 80;

export class TextReader extends HTMLElement {
  #documentId = "";
  /** @type {Leaf | null} */
  #leaf = null;
  /** @type {{from: number, to: number} | null} the place that a hit linked to, in characters */
  #place = null;
  #page = element("input", { type: "number", id: "page", min: 1, inputmode: "numeric" });
  #of = element("span", { class: "of" });
  #back = element("button", { type: "button", class: "icon-button" }, icon("back", "mirrored"));
  #forward = element("button", { type: "button", class: "icon-button" }, icon("forward", "mirrored"));
  #stretch = element("span", { class: "stretch" });
  #text = element("div", { class: "text", tabindex: 0, role: "region", dir: "auto" });
  #passages = element("ol", { class: "passages" });
  #message = element("p", { class: "none", hidden: true });
  #columns = element("div", { class: "columns" });
  #reading = new Latest();

  connectedCallback() {
    this.#back.title = t("reader.back");
    this.#back.setAttribute("aria-label", t("reader.back"));
    this.#forward.title = t("reader.forward");
    this.#forward.setAttribute("aria-label", t("reader.forward"));
    this.#text.setAttribute("aria-label", t("reader.text"));
    this.#passages.setAttribute("aria-label", t("reader.passages"));
    this.#columns.replaceChildren(this.#text, this.#passages);
    this.replaceChildren(
      element("div", { class: "steps" }, this.#back,
        element("label", { for: "page" }, t("reader.page")), this.#page, this.#of, this.#forward, this.#stretch),
      this.#columns, this.#message);
    this.#back.onclick = () => this.#step("previous_at");
    this.#forward.onclick = () => this.#step("next_at");
    this.#page.onchange = () => this.#read({ page: Math.max(1, Math.floor(Number(this.#page.value)) || 1) });
    for (const column of [this.#text, this.#passages]) {
      for (const name of ["pointerover", "focusin", "click"]) column.addEventListener(name, (event) => this.#point(/** @type {Element} */ (event.target)));
    }
  }

  /** Whether more may come: then what is missing is not missing for good. */
  isGrowing = false;

  /** @param {string} documentId @param {{from: number, to: number} | null} place where to begin, and what to mark there */
  open(documentId, place) {
    this.#documentId = documentId;
    this.#place = place;
    this.#read(place ? { at: place.from } : { page: 1 }, place !== null);
  }

  /** Read the same place anew: the text has grown or is another one now. */
  refresh() {
    this.#read(this.#leaf?.page ? { at: this.#leaf.char_start } : { page: 1 });
  }

  /** @param {"previous_at" | "next_at"} where */
  #step(where) {
    const at = this.#leaf?.[where];
    if (at !== null && at !== undefined) this.#read({ at });
  }

  /** @param {{page: number} | {at: number}} place @param {boolean} [scroll] */
  #read(place, scroll = false) {
    this.#reading.run(async () => {
      try {
        this.#show(await api.readLeaf(this.#documentId, place));
        if (scroll) this.#text.querySelector("mark")?.scrollIntoView({ block: "center" });
      } catch (error) {
        say(this.#message, api.sentence(error));
        this.#message.hidden = false;
      }
    });
  }

  /** @param {Leaf} leaf */
  #show(leaf) {
    this.#leaf = leaf;
    const hasText = leaf.page !== null && leaf.characters > 0;
    this.#message.hidden = hasText;
    say(this.#message, leaf.page === null && this.isGrowing ? t("reader.nothingYet") : t("reader.noText"));
    this.#columns.hidden = !hasText;
    /** @type {HTMLElement} */ (this.firstElementChild).hidden = !hasText;
    this.#page.value = String(leaf.page ?? 1);
    this.#page.max = String(leaf.pages);
    say(this.#of, t("reader.of", { pages: leaf.pages }));
    this.#back.disabled = leaf.previous_at === null;
    this.#forward.disabled = leaf.next_at === null;
    say(this.#stretch, t("reader.stretch", { from: leaf.char_start + 1, to: leaf.char_end, characters: leaf.characters }));
    this.#text.replaceChildren(...pieces(leaf, this.#place));
    this.#passages.replaceChildren(...leaf.chunks.map((chunk) => passage(chunk, leaf)));
    if (leaf.chunks.length === 0) this.#passages.append(element("li", { class: "none" }, t("reader.noPassages")));
    this.#text.scrollTop = 0;
  }

  /** Mark the passage that was pointed at, in both columns. @param {Element} target */
  #point(target) {
    const ordinals = /** @type {HTMLElement | null} */ (target.closest("[data-passages]"))?.dataset.passages?.split(" ") ?? [];
    if (ordinals.length === 0) return;
    for (const marked of /** @type {NodeListOf<HTMLElement>} */ (this.querySelectorAll("[data-passages]"))) {
      marked.toggleAttribute("data-pointed", marked.dataset.passages?.split(" ").some((ordinal) => ordinals.includes(ordinal)) ?? false);
    }
    if (this.#passages.contains(target)) this.#text.querySelector("[data-pointed]")?.scrollIntoView({ block: "nearest" });
  }
}

/**
 * The text cut where passages and the linked place begin and end. Places count characters; a string
 * counts UTF-16 units, so the text is cut as a list of characters.
 *
 * @param {Leaf} leaf @param {{from: number, to: number} | null} place
 */
function pieces({ text, char_start, chunks }, place) {
  const characters = [...text];
  const cuts = chunks.flatMap((chunk) => [chunk.char_start, chunk.char_end]).concat(place ? [place.from, place.to] : []);
  const inside = cuts.map((cut) => cut - char_start).filter((cut) => cut > 0 && cut < characters.length);
  const edges = [...new Set([0, ...inside, characters.length])].sort((one, other) => one - other);
  return edges.slice(0, -1).map((from, at) => {
    const written = characters.slice(from, edges[at + 1]).join("");
    const here = char_start + from;
    const of = chunks.filter((chunk) => chunk.char_start <= here && here < chunk.char_end);
    const name = place && place.from <= here && here < place.to ? "mark" : "span";
    return element(name, { "data-passages": of.length ? of.map(({ ordinal }) => ordinal).join(" ") : null, "data-first": of.some((chunk) => chunk.char_start === here) }, written);
  });
}

/** @param {Passage} chunk @param {Leaf} leaf */
const passage = ({ ordinal, page_first, page_last, char_start, char_end, headings }, leaf) =>
  element("li", {}, element("button", { type: "button", "data-passages": ordinal },
    element("span", { class: "ordinal" }, t("reader.passage", { ordinal: ordinal + 1 })),
    element("span", { class: "where" }, `${pages(page_first, page_last)} · ${t("reader.characters", { count: char_end - char_start })}`),
    headings.length > 0 && element("span", { class: "headings" }, headings.join(" › ")),
    element("span", { class: "preview", dir: "auto" }, beginning(leaf, char_start))));

/** The first words of a passage, as far as they are in the leaf. @param {Leaf} leaf @param {number} at */
const beginning = ({ text, char_start }, at) => [...text].slice(Math.max(0, at - char_start)).slice(0, PREVIEW).join("");

customElements.define("text-reader", TextReader);
