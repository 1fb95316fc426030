/**
 * A list of any length of which only the rows near the screen exist. Rows have one height, which the
 * style gives as `--row`, in rem. The page scrolls, not the list.
 */

import { element } from "./element.js";

const ROWS_AROUND = 8;

/**
 * @template Item
 * @template {HTMLElement} Row
 * @typedef {Object} Rows
 * @property {(item: Item) => string} key
 * @property {() => Row} create
 * @property {(row: Row, item: Item) => void} show
 */

/**
 * @template Item
 * @template {HTMLElement} Row
 */
export class WindowedList extends EventTarget {
  /** @type {Item[]} */
  #items = [];
  /** @type {Map<string, {place: HTMLLIElement, row: Row}>} */
  #shown = new Map();
  #first = 0;
  #last = -1;
  #drawing = 0;
  #closed = new AbortController();

  /** @param {string} label @param {Rows<Item, Row>} rows */
  constructor(label, rows) {
    super();
    this.element = element("ul", { class: "windowed", "aria-label": label });
    this.rows = rows;
    for (const name of ["scroll", "resize"]) {
      window.addEventListener(name, () => this.#drawSoon(), { passive: true, signal: this.#closed.signal });
    }
  }

  /** @param {Item[]} items in their order */
  show(items) {
    this.#items = items;
    this.draw();
  }

  /** The items whose rows exist now. */
  get visible() {
    return this.#items.slice(this.#first, this.#last + 1);
  }

  close() {
    this.#closed.abort();
    cancelAnimationFrame(this.#drawing);
  }

  #drawSoon() {
    cancelAnimationFrame(this.#drawing);
    this.#drawing = requestAnimationFrame(() => this.draw());
  }

  /** Make the rows that are near the screen, drop the others, and let each show its item. */
  draw() {
    const height = this.#rowHeight();
    this.element.style.blockSize = `${this.#items.length * height}px`;
    this.#range(height);
    const wanted = this.#wanted();
    this.#dropOthers(wanted);
    let before = /** @type {Element | null} */ (null);
    for (const [key, index] of wanted) {
      const { place, row } = this.#rowOf(key);
      this.#place(place, index, height, before);
      before = place;
      this.rows.show(row, /** @type {Item} */ (this.#items[index]));
    }
    this.dispatchEvent(new Event("drawn"));
  }

  /** The keys of the rows to be there, each with its index: those near the screen, and the one in
   * which somebody's focus is, so that scrolling does not take it away. */
  #wanted() {
    const wanted = new Map(this.visible.map((item, at) => [this.rows.key(item), this.#first + at]));
    const focused = [...this.#shown].find(([, { place }]) => place.contains(document.activeElement))?.[0];
    if (focused === undefined || wanted.has(focused)) return wanted;
    const index = this.#items.findIndex((item) => this.rows.key(item) === focused);
    if (index < 0) return wanted;
    return index < this.#first ? new Map([[focused, index], ...wanted]) : wanted.set(focused, index);
  }

  #rowHeight() {
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    return Math.round(parseFloat(getComputedStyle(this.element).getPropertyValue("--row")) * rem) || 1;
  }

  /** @param {number} height */
  #range(height) {
    const top = -this.element.getBoundingClientRect().top;
    const fits = Math.ceil(window.innerHeight / height);
    const first = Math.min(Math.floor(top / height), this.#items.length - fits) - ROWS_AROUND;
    this.#first = Math.max(0, first);
    this.#last = Math.min(this.#items.length, Math.max(0, first) + fits + 2 * ROWS_AROUND) - 1;
  }

  /** Whether the last rows are near the screen: time to have more of them. */
  get isNearEnd() {
    return this.#last >= this.#items.length - 1;
  }

  /** @param {string} key */
  #rowOf(key) {
    let shown = this.#shown.get(key);
    if (!shown) {
      const row = this.rows.create();
      shown = { row, place: element("li", {}, row) };
      this.#shown.set(key, shown);
    }
    return shown;
  }

  /** Put a row at its place on the screen and in the order in which the keyboard walks.
   * @param {HTMLLIElement} place @param {number} index @param {number} height @param {Element | null} before */
  #place(place, index, height, before) {
    place.style.insetBlockStart = `${index * height}px`;
    place.setAttribute("aria-posinset", String(index + 1));
    place.setAttribute("aria-setsize", String(this.#items.length));
    const follows = before ? before.nextSibling : this.element.firstChild;
    if (follows !== place) this.element.insertBefore(place, follows);
  }

  /** @param {Map<string, number>} wanted */
  #dropOthers(wanted) {
    for (const [key, { place }] of this.#shown) {
      if (wanted.has(key)) continue;
      const hadFocus = place.contains(document.activeElement);
      const heir = place.nextElementSibling ?? place.previousElementSibling;
      place.remove();
      this.#shown.delete(key);
      // A row that is gone hands its focus to the one that takes its place.
      if (hadFocus) /** @type {HTMLElement | null} */ (heir?.querySelector("a, button") ?? null)?.focus();
    }
  }
}
