/**
 * The documents of a list as far as they are known here, and how they stand. The server is the memory:
 * this is a window on it, filled page by page and kept true by the poll.
 */

/** @import {DocumentPage, Filter, Status, Summary} from "./types.js" */
/** @import {Answered} from "./poll.js" */

import * as api from "./api.js";
import { isUnfinished } from "./words.js";

// Counting a whole list is dearer than looking at some rows, and nobody reads faster.
const SUMMARY_MILLISECONDS = 2000;
const MOST_IDS = 100;
const WHILE_OTHERS_WORK_SECONDS = 3;

/** Events: `change`; `stale` (the list has other documents now); `done` (detail: those that ended). */
export class DocumentList extends EventTarget {
  /** @type {Status[]} */
  items = [];
  /** @type {Summary | null} */
  summary = null;
  isComplete = false;
  closed = new AbortController();
  #token = "";
  #isReading = false;
  #loading = new AbortController();
  #summaryAt = -Infinity;
  /** @type {Set<string>} documents that came from this page and are not in the list yet */
  #arrivals = new Set();
  #expected = 0;

  /** @param {Filter} filter */
  constructor(filter) {
    super();
    this.filter = filter;
  }

  close() {
    this.closed.abort();
    this.#loading.abort();
  }

  // reading the list --------------------------------------------------------------------

  /** Read the list anew from its beginning. */
  async reload() {
    this.#loading.abort();
    this.#loading = new AbortController();
    this.#take(await api.listDocuments(this.filter, "", this.#loading.signal), []);
  }

  /** Read the next page behind what is known, unless that is on its way. */
  async more() {
    if (this.isComplete || this.#token === "" || this.#isReading) return;
    this.#isReading = true;
    try {
      this.#take(await api.listDocuments(this.filter, this.#token, this.#loading.signal), this.items);
    } finally {
      this.#isReading = false;
    }
  }

  /** @param {DocumentPage} page @param {Status[]} before */
  #take({ documents, next_page_token, summary }, before) {
    const known = new Set(before.map(({ document_id }) => document_id));
    this.items = [...before, ...documents.filter(({ document_id }) => !known.has(document_id))];
    this.#token = next_page_token;
    this.isComplete = next_page_token === "";
    if (summary) this.#count(summary, this.#matching(summary));
    this.#changed();
  }

  // keeping it true ---------------------------------------------------------------------

  /** Ask how the visible documents stand, and the list as a whole.
   * @param {Status[]} visible @param {AbortSignal} signal @returns {Promise<Answered>} */
  async ask(visible, signal) {
    const arrived = [...this.#arrivals].slice(0, MOST_IDS);
    const ids = [...arrived, ...visible.filter(isUnfinished).map(({ document_id }) => document_id)].slice(0, MOST_IDS);
    const isSummaryDue = ids.length === 0 || performance.now() - this.#summaryAt > SUMMARY_MILLISECONDS;
    const { body, isNew, retryAfter } = await api.poll(api.statuses(ids, isSummaryDue ? this.filter : null), signal);
    if (isSummaryDue) this.#summaryAt = performance.now();
    this.#answered(body, ids, arrived);
    return { changed: isNew && ids.length > 0, retryAfter: retryAfter ?? this.#whileOthersWork() };
  }

  /** Documents that are not visible are on their way: the counts will change. */
  #whileOthersWork() {
    const { queued = 0, processing = 0 } = this.summary?.counts ?? {};
    return queued + processing > 0 ? WHILE_OTHERS_WORK_SECONDS : null;
  }

  /** @param {DocumentPage} body @param {string[]} ids @param {string[]} arrived */
  #answered({ documents, summary }, ids, arrived) {
    const byId = new Map(documents.map((status) => [status.document_id, status]));
    this.#tellEnded(byId);
    this.#admit(arrived, byId);
    const gone = new Set(ids.filter((id) => !byId.has(id)));
    this.items = this.items.filter(({ document_id }) => !gone.has(document_id)).map((known) => newer(known, byId.get(known.document_id)));
    this.#expected -= gone.size;
    if (summary) this.#noticeOthers(summary);
    this.#changed();
  }

  /** @param {Map<string, Status>} byId */
  #tellEnded(byId) {
    const ended = this.items.flatMap((known) => {
      const now = byId.get(known.document_id);
      return now?.done && !known.done ? [now] : [];
    });
    if (ended.length) this.dispatchEvent(new CustomEvent("done", { detail: ended }));
  }

  /** Put what this page uploaded on top, where it belongs there. @param {string[]} arrived @param {Map<string, Status>} byId */
  #admit(arrived, byId) {
    for (const id of arrived) this.#arrivals.delete(id);
    const here = new Set(this.items.map(({ document_id }) => document_id));
    const made = arrived.flatMap((id) => byId.get(id) ?? []).filter(({ document_id }) => !here.has(document_id));
    if (!this.#isNewestFirst) return;
    made.sort((one, other) => other.created_at.localeCompare(one.created_at));
    this.items = [...made, ...this.items];
    this.#expected += made.length;
  }

  get #isNewestFirst() {
    const { q, status, collection, sort } = this.filter;
    return !q && !status && !collection && (sort === "" || sort === "-created_at");
  }

  /** Other pages and programs add and delete, too. @param {Summary} summary */
  #noticeOthers(summary) {
    const matching = this.#matching(summary);
    const isStale = matching !== this.#expected;
    this.#count(summary, matching);
    if (isStale) this.dispatchEvent(new Event("stale"));
  }

  /** How many documents the list has, by the counts. @param {Summary} summary */
  #matching({ counts }) {
    const states = this.filter.status ? this.filter.status.split(",") : Object.keys(counts);
    return states.reduce((sum, state) => sum + (counts[/** @type {keyof typeof counts} */ (state)] ?? 0), 0);
  }

  /** @param {Summary} summary @param {number} matching */
  #count(summary, matching) {
    this.summary = summary;
    this.#expected = matching;
    this.#summaryAt = performance.now();
  }

  // what this page did itself -----------------------------------------------------------

  /** A file became a document: the next answer shows it. @param {string} id */
  arrive(id) {
    this.#arrivals.add(id);
  }

  /** @param {Status} status */
  replace(status) {
    this.items = this.items.map((known) => (known.document_id === status.document_id ? status : known));
    this.#changed();
  }

  /** @param {string} id */
  drop(id) {
    this.items = this.items.filter(({ document_id }) => document_id !== id);
    this.#expected -= 1;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** What is known never goes back: an answer may be older than the one before it.
 * @param {Status} known @param {Status | undefined} answer */
const newer = (known, answer) => (answer && answer.version >= known.version ? answer : known);
