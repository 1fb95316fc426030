/** The search form and its hits. All text goes in as text, never as markup. */

/** @import {Hit} from "./types.js" */

import * as api from "./api.js";
import * as words from "./words.js";

const form = /** @type {HTMLFormElement} */ (document.getElementById("search"));
const query = /** @type {HTMLInputElement} */ (document.getElementById("query"));
const message = /** @type {HTMLElement} */ (document.getElementById("search-message"));
const hits = /** @type {HTMLElement} */ (document.getElementById("hits"));

/** Answer the form; an answer that a newer question overtook is dropped. */
export function open() {
  let asked = 0;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const mine = ++asked;
    try {
      const found = await api.search(query.value);
      if (mine === asked) show(found);
    } catch (error) {
      if (mine === asked) say(/** @type {Error} */ (error).message);
    }
  });
}

/** @param {Hit[]} found */
function show(found) {
  hits.replaceChildren(...found.map(item));
  message.textContent = found.length
    ? `${found.length} passages`
    : "Nothing found. A document is found once it is searchable.";
}

/** @param {string} text */
function say(text) {
  hits.replaceChildren();
  message.textContent = text;
}

/** @param {Hit} hit */
function item(hit) {
  const entry = document.createElement("li");
  const name = document.createElement("strong");
  const place = document.createElement("small");
  const passage = document.createElement("p");
  name.textContent = hit.filename;
  place.textContent = ` ${words.pages(hit.page_first, hit.page_last)}`;
  passage.append(...marked(hit.text, query.value));
  entry.append(name, place, passage);
  return entry;
}

/** The text with the query's words marked. @param {string} text @param {string} asked @returns {Node[]} */
function marked(text, asked) {
  const wanted = asked.split(/[^\p{L}\p{N}]+/u).filter((word) => word.length > 2);
  if (wanted.length === 0) return [document.createTextNode(text)];
  const pattern = new RegExp(`(?<![\\p{L}\\p{N}])(${wanted.join("|")})(?![\\p{L}\\p{N}])`, "giu");
  return text.split(pattern).map((piece, index) => {
    if (index % 2 === 0) return document.createTextNode(piece);
    const mark = document.createElement("mark");
    mark.textContent = piece;
    return mark;
  });
}
