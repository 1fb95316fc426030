/** The view of all documents: what is on its way, the list with its filters, and what may be done. */

/** @import {Filter, State, Status} from "./types.js" */
/** @import {Wish} from "./document-row.js" */

import * as api from "./api.js";
import { announce, notify, toast } from "./announce.js";
import { DocumentList } from "./document-list.js";
import { DocumentRow } from "./document-row.js";
import { download, remove } from "./document-wishes.js";
import { element, say } from "./element.js";
import { icon } from "./icons.js";
import { number, t } from "./language.js";
import { Latest } from "./latest.js";
import { poll } from "./poll.js";
import { shell } from "./shell.js";
import { UploadPanel } from "./upload-panel.js";
import { UploadZone } from "./upload-zone.js";
import { uploads } from "./uploads.js";
import { WindowedList } from "./windowed-list.js";
import { sentence } from "./words.js";

/** @type {[string, string][]} the name of each tab, and the states that it shows */
const TABS = [["all", ""], ["working", "queued,processing"], ["completed", "completed"], ["failed", "failed"], ["cancelled", "cancelled"]];
const SORTS = ["-created_at", "created_at", "filename", "-filename", "-size", "size"];

/** What the address says of the list. @returns {Filter} */
function filterOfAddress() {
  const given = new URLSearchParams(location.search);
  const of = (/** @type {string} */ name) => given.get(name) ?? "";
  return { q: of("q"), status: of("status"), collection: of("collection"), sort: of("sort") };
}

export class DocumentsView extends HTMLElement {
  #zone = new UploadZone();
  #tabs = element("div", { class: "tabs", role: "group" });
  #search = element("input", { type: "search", id: "filter", autocomplete: "off" });
  #collection = element("select", { id: "in-collection" });
  #sort = element("select", { id: "sort" });
  #fresh = element("button", { type: "button", class: "fresh small", hidden: true });
  #empty = element("p", { class: "empty", hidden: true });
  #skeleton = element("div", { class: "skeleton", "aria-hidden": "true" });
  /** @type {WindowedList<Status, DocumentRow>} */
  #rows = new WindowedList(t("list.label"), {
    key: ({ document_id }) => document_id,
    create: () => new DocumentRow(),
    show: (row, status) => row.show(status),
  });
  #list = new DocumentList(filterOfAddress());
  #closed = new AbortController();
  #reading = new Latest();

  get heading() {
    return t("view.documents");
  }

  connectedCallback() {
    this.#closed = new AbortController();
    this.append(
      element("h1", { tabindex: -1 }, this.heading), this.#zone, new UploadPanel(), this.#bar(), this.#fresh,
      this.#skeleton, this.#rows.element, this.#empty);
    this.#skeleton.append(...Array.from({ length: 6 }, () => element("span")));
    say(this.#fresh, t("list.fresh"));
    this.#listen(this.#closed.signal);
    void this.#open();
    void this.#readChoices();
    poll.watch((signal) => this.#list.ask(this.#rows.visible, signal));
  }

  disconnectedCallback() {
    this.#closed.abort();
    this.#rows.close();
    this.#list.close();
  }

  /** @param {AbortSignal} signal */
  #listen(signal) {
    this.#rows.addEventListener("drawn", () => { if (this.#rows.isNearEnd) void this.#try(() => this.#list.more()); }, { signal });
    this.#rows.element.addEventListener("wish", (event) => void this.#do(/** @type {CustomEvent<Wish>} */ (event)), { signal });
    this.#fresh.addEventListener("click", () => void this.#reload(true), { signal });
    this.addEventListener("choose", () => this.#zone.choose(), { signal });
    uploads.addEventListener("accepted", (event) => {
      const { documentId, outcome } = /** @type {CustomEvent<import("./send.js").Sent>} */ (event).detail;
      if (outcome === "accepted") this.#list.arrive(documentId);
      poll.now();
    }, { signal });
    poll.addEventListener("found", () => {
      void this.#reload(false);
      void this.#readChoices();
    }, { signal });
  }

  // the list ----------------------------------------------------------------------------

  /** Begin a list with the filter that the address has. */
  #open() {
    this.#list.close();
    const list = new DocumentList(filterOfAddress());
    const { signal } = list.closed;
    list.addEventListener("change", () => this.#draw(), { signal });
    list.addEventListener("stale", () => this.#stale(), { signal });
    list.addEventListener("done", (event) => tellEnded(/** @type {CustomEvent<Status[]>} */ (event).detail), { signal });
    this.#list = list;
    this.#showFilter();
    return this.#reload(false);
  }

  /** @param {boolean} fromTop */
  #reload(fromTop) {
    this.#fresh.hidden = true;
    if (fromTop) window.scrollTo({ top: 0 });
    return this.#try(() => this.#list.reload());
  }

  /** Other documents are in the list now. Rows under somebody's eyes do not move by themselves. */
  #stale() {
    if (this.#rows.element.getBoundingClientRect().top > 0) void this.#reload(false);
    else this.#fresh.hidden = false;
  }

  #draw() {
    const { items, summary, isComplete, filter } = this.#list;
    this.#skeleton.hidden = true;
    this.#rows.show(items);
    const isFiltered = Boolean(filter.q || filter.status || filter.collection);
    const isEmpty = items.length === 0 && isComplete;
    this.#empty.hidden = !(isEmpty && isFiltered);
    say(this.#empty, t("list.nothing"));
    this.#zone.welcome(isEmpty && !isFiltered && uploads.list.length === 0);
    this.toggleAttribute("data-empty", isEmpty && !isFiltered);
    if (summary) this.#showCounts(summary.counts);
    if (summary) shell.tell(summary);
  }

  // filters -----------------------------------------------------------------------------

  #bar() {
    say(this.#tabs, "");
    this.#tabs.setAttribute("aria-label", t("list.states"));
    this.#tabs.append(...TABS.map(([name, states]) => element("button", {
      type: "button", "data-states": states, "aria-pressed": "false", onclick: () => this.#narrow({ status: states }),
    }, t(`tab.${name}`), element("span", { class: "count" }))));
    this.#search.placeholder = t("list.search");
    this.#search.setAttribute("aria-label", t("list.search"));
    this.#search.oninput = () => this.#narrow({ q: this.#search.value.trim() });
    this.#collection.setAttribute("aria-label", t("list.collection"));
    this.#collection.onchange = () => this.#narrow({ collection: this.#collection.value });
    this.#sort.setAttribute("aria-label", t("list.sort"));
    this.#sort.replaceChildren(...SORTS.map((name) => element("option", { value: name }, t(`sort.${name}`))));
    this.#sort.onchange = () => this.#narrow({ sort: this.#sort.value });
    return element("div", { class: "filters" }, this.#tabs, element("div", { class: "choice" },
      element("span", { class: "search-field" }, icon("search"), this.#search), this.#collection, this.#sort));
  }

  /** Change the filter, and the address with it, so that it can be kept and shared.
   * @param {Partial<Filter>} change */
  #narrow(change) {
    const filter = { ...this.#list.filter, ...change };
    if (filter.sort === SORTS[0]) filter.sort = "";
    const address = new URLSearchParams(Object.entries(filter).filter(([, value]) => value)).toString();
    history.replaceState(history.state, "", address ? `/?${address}` : "/");
    this.#reading.run(() => this.#open());
  }

  #showFilter() {
    const { q, status, collection, sort } = this.#list.filter;
    for (const tab of this.#tabs.querySelectorAll("button")) tab.setAttribute("aria-pressed", String(tab.dataset.states === status));
    if (this.#search !== document.activeElement) this.#search.value = q;
    this.#collection.value = collection;
    this.#sort.value = sort || /** @type {string} */ (SORTS[0]);
  }

  /** @param {Record<State, number>} counts */
  #showCounts(counts) {
    for (const tab of this.#tabs.querySelectorAll("button")) {
      const states = /** @type {State[]} */ (tab.dataset.states ? tab.dataset.states.split(",") : Object.keys(counts));
      const count = states.reduce((sum, state) => sum + counts[state], 0);
      say(/** @type {Element} */ (tab.lastElementChild), number(count));
    }
  }

  /** What may be uploaded, and the collections there are. */
  async #readChoices() {
    await this.#try(async () => {
      const [limits, collections] = await Promise.all([api.limits(), api.listCollections()]);
      uploads.limit = limits.max_upload_bytes;
      this.#zone.say(limits);
      this.#zone.offer(collections, this.#list.filter.collection);
      const options = collections.map(({ name, documents }) => element("option", { value: name }, `${name} (${number(documents)})`));
      this.#collection.replaceChildren(element("option", { value: "" }, t("list.anyCollection")), ...options);
      this.#collection.hidden = collections.length === 0;
      this.#collection.value = this.#list.filter.collection;
    });
  }

  // what a person wants -----------------------------------------------------------------

  /** @param {CustomEvent<Wish>} event */
  async #do(event) {
    const row = /** @type {HTMLElement} */ (event.target);
    const status = this.#list.items.find(({ document_id }) => document_id === row.dataset.documentId);
    if (!status) return;
    await this.#try(async () => {
      if (event.detail === "delete") {
        if (await remove(status)) this.#list.drop(status.document_id);
      } else if (event.detail === "download") {
        download(status.document_id);
      } else {
        this.#list.replace(await api.ask(status.document_id, event.detail));
        poll.now();
      }
    });
  }

  /** Run something, and say in words why it did not work. @param {() => Promise<void>} work */
  async #try(work) {
    try {
      await work();
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") return;
      if (error instanceof api.Unreachable) return poll.now(); // its banner says so, and it goes on asking
      toast(api.sentence(error), "bad");
    }
  }
}

/** @param {Status[]} ended */
function tellEnded(ended) {
  for (const status of ended.slice(0, 3)) {
    announce(`${status.filename}: ${t(`state.${status.status}`)}. ${sentence(status)}`);
  }
  const failed = ended.filter(({ status }) => status === "failed");
  for (const status of failed.slice(0, 3)) notify(`${status.filename}: ${sentence(status)}`);
}

customElements.define("documents-view", DocumentsView);
