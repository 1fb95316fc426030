/** One document in the list. It shows what it is given and holds no state of its own. */

/** @import {Status} from "./types.js" */

import * as words from "./words.js";

/** @param {string} tag @param {string} className @param {string} [role] */
function part(tag, className, role) {
  const element = document.createElement(tag);
  element.className = className;
  if (role) element.dataset.role = role;
  return element;
}

/** @typedef {"retry" | "cancel" | "delete"} Question what a person may ask of a document */

/** The event that a question is, with the question as its detail. @param {Question} what */
const asked = (what) => new CustomEvent("asked", { bubbles: true, detail: what });

/** What may be asked of a document in its state. @param {Status} status @returns {Question[]} */
function questions(status) {
  if (!status.done) return ["cancel", "delete"];
  return status.status === "completed" ? ["delete"] : ["retry", "delete"];
}

export class DocumentRow extends HTMLElement {
  #name = part("span", "name");
  #state = part("span", "state", "percent");
  #bar = /** @type {HTMLProgressElement} */ (part("progress", "bar"));
  #sentence = part("span", "sentence", "sentence");
  #actions = part("span", "actions");
  #notes = part("div", "notes");

  connectedCallback() {
    if (this.firstChild) return;
    this.#bar.max = 100;
    this.append(this.#name, this.#state, this.#bar, this.#sentence, this.#actions, this.#notes);
  }

  /** The bytes of a file that is still in the browser. @param {File} file @param {number} sent */
  showUploading(file, sent) {
    this.dataset.status = "uploading";
    this.#bar.max = Math.max(1, file.size);
    const percent = file.size ? Math.floor((100 * sent) / file.size) : 0;
    this.#show(file.name, words.uploading(sent, file.size), sent, `${percent} % sent`);
  }

  /** What the server committed. @param {Status} status */
  showStatus(status) {
    this.dataset.documentId = status.document_id;
    this.dataset.status = status.status;
    this.dataset.version = String(status.version);
    this.#bar.max = 100;
    this.#show(status.filename, words.sentence(status), status.progress.percent, words.percent(status));
    this.#offer(status);
    this.#note(status);
  }

  /** @param {string} name @param {string} sentence @param {number} value @param {string} shown */
  #show(name, sentence, value, shown) {
    this.#name.textContent = name;
    this.#sentence.textContent = sentence;
    this.#state.textContent = shown;
    this.#bar.value = value;
    this.#bar.setAttribute("aria-label", name);
    this.#bar.setAttribute("aria-valuetext", `${shown}, ${sentence}`);
  }

  /** @param {Status} status */
  #offer(status) {
    const offered = questions(status);
    if (this.#actions.dataset.offered === offered.join()) return;
    this.#actions.dataset.offered = offered.join();
    this.#actions.replaceChildren(...offered.map((what) => this.#button(what, status.filename)));
  }

  /** @param {Question} what @param {string} name */
  #button(what, name) {
    const button = document.createElement("button");
    const verb = what[0].toUpperCase() + what.slice(1);
    button.type = "button";
    button.textContent = verb;
    button.setAttribute("aria-label", `${verb} ${name}`);
    button.addEventListener("click", () => this.dispatchEvent(asked(what)));
    return button;
  }

  /** Warnings, and the code of a failure for who reports it. @param {Status} status */
  #note(status) {
    const lines = status.warnings.map((warning) =>
      warning.page ? `Page ${warning.page}: ${warning.detail}` : warning.detail);
    if (status.error && status.done) lines.push(`Code: ${status.error.code}, stage: ${status.error.stage}`);
    if (this.#notes.dataset.lines === String(lines)) return;
    this.#notes.dataset.lines = String(lines);
    this.#notes.replaceChildren(...(lines.length ? [folded(lines)] : []));
  }
}

/** @param {string[]} lines */
function folded(lines) {
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  summary.textContent = lines.length === 1 ? "1 note" : `${lines.length} notes`;
  details.append(summary, ...lines.map((line) => {
    const paragraph = document.createElement("div");
    paragraph.textContent = line;
    return paragraph;
  }));
  return details;
}

customElements.define("document-row", DocumentRow);
