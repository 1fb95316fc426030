/** Searching while one types: passages with the words marked, where they stand, and why they were found. */

/** @import {Hit} from "./types.js" */

import { announce } from "./announce.js";
import * as api from "./api.js";
import { element, say } from "./element.js";
import { icon } from "./icons.js";
import { number, t } from "./language.js";
import { Latest } from "./latest.js";
import { poll } from "./poll.js";
import { shell } from "./shell.js";
import { pages } from "./words.js";

const MODES = ["hybrid", "vector", "text"];
const EXCERPT = 420;
const BEFORE_THE_MATCH = 90;
const SHORT_WORD = 3; // letters, in most languages those of articles and prepositions

export class SearchView extends HTMLElement {
  #query = element("input", { type: "search", id: "query", autocomplete: "off", enterkeyhint: "search", maxlength: 10000 });
  #mode = element("select", { id: "mode" });
  #collection = element("select", { id: "search-collection" });
  #message = element("p", { id: "search-message" });
  #hits = element("ol", { id: "hits" });
  #latest = new Latest();
  #asking = new AbortController();
  #closed = new AbortController();
  #asked = "";

  get heading() {
    return t("view.search");
  }

  connectedCallback() {
    const given = new URLSearchParams(location.search);
    this.#query.value = given.get("q") ?? "";
    this.#mode.replaceChildren(...MODES.map((mode) => element("option", { value: mode, selected: mode === given.get("mode") }, t(`mode.${mode}`))));
    this.#query.placeholder = t("search.placeholder");
    const form = element("form", { role: "search", onsubmit: (/** @type {Event} */ event) => { event.preventDefault(); this.#search(); } },
      element("label", { class: "visually-hidden", for: "query" }, t("search.what")),
      element("span", { class: "search-field" }, icon("search"), this.#query),
      labelled("search.mode", this.#mode), labelled("list.collection", this.#collection));
    this.replaceChildren(element("h1", { tabindex: -1 }, this.heading), form, this.#message, this.#hits);
    this.#query.oninput = () => this.#search();
    this.#mode.onchange = this.#collection.onchange = () => this.#search();
    void this.#readCollections(given.get("collection") ?? "").then(() => this.#search());
    poll.watch((signal) => shell.ask(signal));
    poll.addEventListener("found", () => this.#search(), { signal: this.#closed.signal }); // what failed meanwhile
    this.#query.focus();
  }

  disconnectedCallback() {
    this.#closed.abort();
    this.#asking.abort();
  }

  /** @param {string} chosen */
  async #readCollections(chosen) {
    const collections = await api.listCollections().catch(() => []);
    const options = collections.map(({ name }) => element("option", { value: name, selected: name === chosen }, name));
    this.#collection.replaceChildren(element("option", { value: "" }, t("list.anyCollection")), ...options);
    this.#collection.hidden = collections.length === 0;
  }

  /** Ask for what is typed now; of what was typed while an answer is on its way, only the last. */
  #search() {
    const text = this.#query.value.trim();
    const [mode, collection] = [this.#mode.value, this.#collection.value];
    const asked = new URLSearchParams(Object.entries({ q: text, mode: mode === MODES[0] ? "" : mode, collection }).filter(([, value]) => value)).toString();
    if (asked === this.#asked) return;
    this.#asked = asked;
    history.replaceState(history.state, "", asked ? `/search?${asked}` : "/search");
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    this.#latest.run(async () => {
      try {
        this.#show(text ? await api.search(text, mode, collection, signal) : null);
      } catch (error) {
        if (!signal.aborted) this.#fail(error);
      }
    });
  }

  /** @param {Hit[] | null} hits null where nothing was asked */
  #show(hits) {
    const best = { vector: most(hits, "vector"), text: most(hits, "text") };
    this.#replace((hits ?? []).map((hit) => entry(hit, best)));
    delete this.#message.dataset.kind;
    say(this.#message, !hits ? t("search.hint") : hits.length ? t("search.found", { count: hits.length }) : t("search.nothing"));
    if (hits) announce(this.#message.textContent ?? "");
  }

  /** A later answer leaves the focus on the hit that has it; where that hit is gone, on the words asked for.
   * @param {HTMLElement[]} entries */
  #replace(entries) {
    const focused = this.#hits.contains(document.activeElement) && document.activeElement?.getAttribute("href");
    this.#hits.replaceChildren(...entries);
    if (!focused) return;
    const links = [...this.#hits.querySelectorAll("a")];
    (links.find((link) => link.getAttribute("href") === focused) ?? this.#query).focus();
  }

  /** @param {unknown} error */
  #fail(error) {
    if (!(error instanceof api.SignedOut)) this.#replace([]);
    this.#message.dataset.kind = "failed";
    say(this.#message, api.sentence(error));
    this.#asked = ""; // the same may be asked again
    announce(api.sentence(error));
  }
}

/** @param {string} name @param {HTMLElement} control */
const labelled = (name, control) => element("label", {}, element("span", { class: "visually-hidden" }, t(name)), control);

/** @param {Hit[] | null} hits @param {"vector" | "text"} way */
const most = (hits, way) => Math.max(0, ...(hits ?? []).map(({ scores }) => scores[way] ?? 0));

/** @param {Hit} hit @param {{vector: number, text: number}} best */
function entry(hit, best) {
  const where = `/view/${hit.document_id}?at=${hit.char_start}&to=${hit.char_end}`;
  return element("li", {},
    element("p", { class: "passage", dir: "auto" }, ...excerpt(hit)),
    element("div", { class: "source" },
      element("a", { href: where, title: hit.filename }, hit.filename),
      element("span", {}, pages(hit.page_first, hit.page_last)),
      hit.headings.length > 0 && element("span", { class: "headings" }, hit.headings.join(" › ")),
      element("span", { class: "why" }, way("vector", hit.scores.vector, best.vector), way("text", hit.scores.text, best.text))));
}

/** How much one of the two ways of searching liked a passage, beside the passage that it liked most.
 * @param {"vector" | "text"} name @param {number | null} score @param {number} best */
function way(name, score, best) {
  const shown = score === null ? t("hit.not") : number(score, { maximumFractionDigits: 2 });
  const fill = element("span", { class: "fill" });
  fill.style.inlineSize = `${score === null || best === 0 ? 0 : Math.max(4, (100 * score) / best)}%`;
  return element("span", { class: "way", "data-way": name, title: t(`hit.${name}Why`) },
    element("span", {}, t(`hit.${name}`)), element("span", { class: "line", "aria-hidden": "true" }, fill), element("span", {}, shown));
}

/** The passage from shortly before its longest match on, with the matches marked. Places count characters.
 * @param {Hit} hit @returns {Node[]} */
function excerpt({ text, matches: words }) {
  const characters = [...text];
  const matches = telling(characters, words);
  const longest = matches.reduce((best, match) => (match[1] - match[0] > best[1] - best[0] ? match : best), matches[0] ?? [0, 0]);
  const from = beginning(characters, longest[0]);
  const to = ending(characters, from + EXCERPT);
  const between = (/** @type {number} */ start, /** @type {number} */ end) => characters.slice(start, end).join("");
  const pieces = /** @type {Node[]} */ ([]);
  let at = from;
  for (const [start, end] of matches) {
    if (start < at || end > to) continue;
    pieces.push(new Text(between(at, start)), element("mark", {}, between(start, end)));
    at = end;
  }
  pieces.push(new Text(between(at, to) + (to < characters.length ? "…" : "")));
  return from > 0 ? [new Text("…"), ...pieces] : pieces;
}

/**
 * Words that stand in a row are one match; short words that stand alone are none, unless there is
 * nothing else.
 *
 * @param {string[]} characters @param {[number, number][]} words @returns {[number, number][]}
 */
function telling(characters, words) {
  /** @type {[number, number][]} */
  const rows = [];
  for (const [start, end] of words) {
    const last = rows.at(-1);
    if (last && characters.slice(last[1], start).every((between) => between === " ")) last[1] = end;
    else rows.push([start, end]);
  }
  const long = rows.filter(([start, end]) => end - start > SHORT_WORD);
  return long.length ? long : rows;
}

/** @param {string[]} characters @param {number} match */
function beginning(characters, match) {
  if (match < EXCERPT / 2) return 0;
  const near = match - BEFORE_THE_MATCH;
  const space = characters.indexOf(" ", near);
  return space >= 0 && space < match ? space + 1 : near;
}

/** @param {string[]} characters @param {number} most */
function ending(characters, most) {
  if (most >= characters.length) return characters.length;
  const space = characters.lastIndexOf(" ", most);
  return space > most - BEFORE_THE_MATCH ? space : most;
}

customElements.define("search-view", SearchView);
