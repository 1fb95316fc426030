/** The list of documents. The server is its memory: a page that is opened anew shows the same. */

/** @import {Status} from "./types.js" */

import * as api from "./api.js";
import { DocumentRow } from "./document-row.js";
import { Poll } from "./poll.js";
import * as upload from "./upload.js";
import * as words from "./words.js";

/** @param {string} id */
const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** @type {Map<string, DocumentRow>} */
const rows = new Map();
const list = element("documents");
let nextToken = "";

const poll = new Poll(
  () => [...rows].filter(([, row]) => isUnfinished(row)).map(([id]) => id),
  showAnswer,
  (reachable) => (reachable ? catchUp() : banner("Service unreachable; showing what was last known.")),
);

/** @param {DocumentRow} row */
const isUnfinished = (row) => row.dataset.status === "queued" || row.dataset.status === "processing";

/** Show the newest documents and begin to watch the unfinished ones. */
export async function open() {
  element("more").addEventListener("click", () => attempt(showMore));
  list.addEventListener("asked", (event) => attempt(() => answer(/** @type {CustomEvent} */ (event))));
  window.addEventListener("beforeunload", (event) => {
    if (upload.isSending()) event.preventDefault();
  });
  await attempt(showMore);
  await attempt(sayWhatIsMissing);
}

/** After an outage: what was missed may be more than what was unfinished. */
async function catchUp() {
  banner("");
  const { documents } = await api.listDocuments("");
  for (const status of documents.toReversed()) show(status, "first");
  await sayWhatIsMissing();
}

async function showMore() {
  const { documents, next_page_token } = await api.listDocuments(nextToken);
  for (const status of documents) show(status, "last");
  nextToken = next_page_token;
  element("more").hidden = nextToken === "";
  sayIfEmpty();
  poll.now();
}

async function sayWhatIsMissing() {
  banner((await api.whatIsMissing()) ?? "");
}

/** @param {Status} status @param {"first" | "last"} where a new row goes */
function show(status, where) {
  let row = rows.get(status.document_id);
  if (!row) {
    row = newRow(where);
    rows.set(status.document_id, row);
  }
  if (Number(row.dataset.version ?? 0) <= status.version) row.showStatus(status);
}

/** @param {"first" | "last"} where */
function newRow(where) {
  const item = document.createElement("li");
  const row = new DocumentRow();
  item.append(row);
  if (where === "first") list.prepend(item);
  else list.append(item);
  sayIfEmpty();
  return row;
}

/** @param {Status[]} documents @param {string[]} asked */
function showAnswer(documents, asked) {
  const there = new Set(documents.map((status) => status.document_id));
  for (const status of documents) {
    const before = rows.get(status.document_id)?.dataset.status;
    if (!before) continue; // removed while the answer was on its way
    show(status, "first");
    if (status.done && before !== status.status) {
      announce(`${status.filename}: ${words.sentence(status)}`);
    }
  }
  for (const id of asked) if (!there.has(id)) forget(id); // deleted elsewhere
}

/** Upload files that a person chose; each is sent, refused or told about by itself. @param {File[]} files */
export function take(files) {
  element("refusals").replaceChildren();
  for (const file of files) void takeOne(file);
}

/** @param {File} file */
async function takeOne(file) {
  const row = newRow("first");
  row.showUploading(file, 0);
  try {
    const { document_id } = await upload.send(file, (sent) => row.showUploading(file, sent));
    announce(`${file.name} is accepted. You can close this page now.`);
    // The row becomes the document's, unless a poll was quicker and made one.
    if (rows.has(document_id)) row.parentElement?.remove();
    else rows.set(document_id, row);
    showAnswer((await api.readStatuses([document_id], "")).documents ?? [], []);
    poll.now();
  } catch (error) {
    row.parentElement?.remove();
    refuse(file, /** @type {Error} */ (error));
  }
  sayIfEmpty();
}

/** @param {File} file @param {Error} error */
function refuse(file, error) {
  const item = document.createElement("li");
  item.textContent = `${file.name}: ${error.message}`;
  element("refusals").append(item);
}

/** Do what a person asked of a document. @param {CustomEvent} event */
async function answer(event) {
  const id = /** @type {DocumentRow} */ (event.target).dataset.documentId ?? "";
  if (event.detail === "delete") {
    await api.remove(id);
    forget(id);
  } else {
    show(await api.ask(id, event.detail), "first");
    poll.now();
  }
}

/** @param {string} id */
function forget(id) {
  rows.get(id)?.parentElement?.remove();
  rows.delete(id);
  sayIfEmpty();
}

function sayIfEmpty() {
  element("empty").hidden = list.childElementCount > 0;
}

/** @param {string} text */
function announce(text) {
  element("announcements").textContent = text;
}

/** @param {string} text */
function banner(text) {
  element("banner").textContent = text;
  element("banner").hidden = text === "";
}

/** Run something a person started, and say in words why it did not work. @param {() => Promise<void>} work */
async function attempt(work) {
  try {
    await work();
  } catch (error) {
    banner(/** @type {Error} */ (error).message);
    poll.now();
  }
}
