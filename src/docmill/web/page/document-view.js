/** One document: how it stands and what it came through, what it holds, and what may be done with it. */

/** @import {Details, Stage, Status} from "./types.js" */

import { announce, toast } from "./announce.js";
import * as api from "./api.js";
import { stateWord } from "./document-row.js";
import { allowed, download, remove } from "./document-wishes.js";
import { element, say } from "./element.js";
import { icon } from "./icons.js";
import { bytes, date, duration, t } from "./language.js";
import { Latest } from "./latest.js";
import { poll } from "./poll.js";
import { TextReader } from "./reader.js";
import * as router from "./router.js";
import { shell } from "./shell.js";
import { StageBar } from "./stage-bar.js";
import { TimeLine } from "./timeline.js";
import { STAGES, failure, sentence, warning } from "./words.js";

/** @typedef {"retry" | "cancel" | "reprocess" | "download" | "delete"} Wish */

const ICONS = /** @type {const} */ ({ retry: "retry", cancel: "cancel", reprocess: "retry", download: "download", delete: "trash" });

/** @param {Status} status @returns {Wish[]} */
function wishes({ done, status }) {
  if (!done) return ["cancel", "download", "delete"];
  return status === "completed" ? ["reprocess", "download", "delete"] : ["retry", "reprocess", "download", "delete"];
}

/** The place that a hit linked to. @returns {{from: number, to: number} | null} */
function placeOfAddress() {
  const given = new URLSearchParams(location.search);
  return given.has("at") ? { from: Number(given.get("at")), to: Number(given.get("to") ?? given.get("at")) } : null;
}

export class DocumentView extends HTMLElement {
  /** @type {Details | null} */
  #details = null;
  /** @type {Status | null} */
  #status = null;
  #title = element("h1", { tabindex: -1 });
  #state = element("div", { class: "how" });
  #actions = element("div", { class: "buttons" });
  #bar = new StageBar();
  #stages = element("ol", { class: "stages" });
  #trouble = element("div", { class: "trouble" });
  #warnings = element("ul", { class: "warnings" });
  #facts = element("dl", { class: "facts" });
  #timeline = new TimeLine();
  #reader = new TextReader();
  #body = element("div", { class: "body", hidden: true });
  #reading = new Latest();
  #closed = new AbortController();

  /** @param {string} id */
  constructor(id) {
    super();
    this.documentId = id;
  }

  get heading() {
    return this.#details?.filename ?? t("view.document");
  }

  connectedCallback() {
    this.#body.replaceChildren(
      this.#state, this.#bar, this.#stages, this.#trouble, this.#warnings,
      section("timeline", this.#timeline), section("reader", this.#reader), section("facts", this.#facts));
    this.replaceChildren(
      element("a", { class: "back", href: "/" }, icon("back", "mirrored"), t("document.back")),
      element("div", { class: "top" }, this.#title, this.#actions), this.#body);
    const { signal } = this.#closed;
    poll.addEventListener("found", () => { if (!this.#details) void this.#open(); }, { signal });
    void this.#open();
  }

  disconnectedCallback() {
    this.#closed.abort();
  }

  async #open() {
    try {
      this.#details = await api.readDocument(this.documentId);
    } catch (error) {
      if (!(error instanceof api.Unreachable)) return this.#missing(error);
      if (this.isConnected) poll.watch((signal) => shell.ask(signal)); // until it is found
      return;
    }
    say(this.#title, this.#details.filename);
    shell.entitle(this.#details.filename);
    this.#body.hidden = false;
    this.#showFacts(this.#details);
    this.#show(this.#details);
    this.#reader.open(this.documentId, placeOfAddress());
    if (this.isConnected) poll.watch((signal) => this.#ask(signal));
  }

  /** @param {unknown} error */
  #missing(error) {
    say(this.#title, t("document.missing"));
    this.#body.replaceChildren(element("p", { class: "empty" }, api.sentence(error)));
    this.#body.hidden = false;
  }

  /** @param {AbortSignal} signal */
  async #ask(signal) {
    const { body, isNew, retryAfter } = await api.poll(api.statuses([this.documentId], null), signal);
    if (body.documents.length === 0) this.#missing(new api.Refused("NOT_FOUND", ""));
    else if (isNew) this.#show(body.documents[0]);
    return { changed: isNew, retryAfter: this.#status?.done ? null : retryAfter };
  }

  /** @param {Status} status */
  #show(status) {
    const before = this.#status;
    if (before && status.version < before.version) return;
    this.#status = status;
    this.#reader.isGrowing = !status.done;
    this.#state.replaceChildren(stateWord(status), element("span", { "data-role": "sentence" }, status.status === "failed" ? "" : sentence(status)));
    this.dataset.status = status.status;
    this.#bar.show(status);
    this.#stages.replaceChildren(...STAGES.map((stage) => stageFact(status, stage)));
    this.#showTrouble(status);
    this.#showWarnings(status);
    this.#offer(status);
    if (before?.version !== status.version) this.#readTrail(status);
    if (before && (before.searchable !== status.searchable || before.done !== status.done)) this.#reader.refresh();
    if (before && !before.done && status.done) announce(`${t(`state.${status.status}`)}. ${sentence(status)}`);
  }

  /** @param {Status} status */
  #readTrail(status) {
    this.#reading.run(async () => {
      const jobs = await api.readJobs(this.documentId).catch(() => null); // the poll says that it is away
      if (jobs) this.#timeline.show(jobs, status.generation);
    });
  }

  /** The error in a sentence with its remedy; what only developers need is folded away. @param {Status} status */
  #showTrouble({ error, done }) {
    const key = JSON.stringify([error, document.documentElement.lang]);
    if (this.#trouble.dataset.key === key) return;
    this.#trouble.dataset.key = key;
    this.#trouble.hidden = !error;
    if (!error) return;
    this.#trouble.dataset.kind = done ? "failed" : "waiting";
    this.#trouble.replaceChildren(
      element("p", {}, icon(done ? "failed" : "warning"), element("span", {}, failure(error))),
      element("details", {}, element("summary", {}, t("document.details")),
        element("p", { class: "detail" }, error.detail),
        element("p", { class: "mono" }, t("document.error", { code: error.code, stage: error.stage ? t(`stage.${error.stage}`) : "", attempt: error.attempt }))));
  }

  /** @param {Status} status */
  #showWarnings({ warnings }) {
    this.#warnings.hidden = warnings.length === 0;
    this.#warnings.replaceChildren(...warnings.map((given) => element("li", {}, icon("warning"),
      element("span", {}, warning(given), element("span", { class: "detail" }, given.detail)))));
  }

  /** @param {Status} status */
  #offer(status) {
    const offered = allowed(wishes(status));
    if (this.#actions.dataset.offered === String(offered)) return;
    this.#actions.dataset.offered = String(offered);
    this.#actions.replaceChildren(...offered.map((wish) =>
      element("button", { type: "button", "data-wish": wish, onclick: () => void this.#do(wish) }, icon(ICONS[wish]), t(`wish.${wish}`))));
  }

  /** @param {Wish} wish */
  async #do(wish) {
    if (!this.#status) return;
    try {
      if (wish === "download") download(this.documentId);
      else if (wish === "delete") {
        if (await remove(this.#status)) router.go("/");
      } else {
        this.#show(await api.ask(this.documentId, wish));
        poll.now();
      }
    } catch (error) {
      toast(api.sentence(error), "bad");
    }
  }

  /** @param {Details} details */
  #showFacts(details) {
    const { document_id, media_type, size, collection, external_id, created_at, generation, sha256, metadata } = details;
    const said = Object.keys(metadata).length ? JSON.stringify(metadata, null, 2) : null;
    /** @type {[string, Node | string | null][]} */
    const facts = [
      ["type", media_type], ["size", bytes(size)], ["collection", collection], ["externalId", external_id], ["uploaded", date(created_at)],
      ["generation", generation > 1 ? String(generation) : null], ["id", copyable(document_id)], ["sha256", copyable(sha256)],
      ["metadata", said && element("pre", { tabindex: 0 }, said)],
    ];
    this.#facts.replaceChildren(...facts.filter(([, value]) => value).map(([name, value]) =>
      element("div", { class: name === "metadata" ? "wide" : "" }, element("dt", {}, t(`fact.${name}`)), element("dd", {}, value))));
  }
}

/** @param {string} name @param {Node} content */
const section = (name, content) =>
  element("section", { "aria-labelledby": `${name}-title` }, element("h2", { id: `${name}-title` }, t(`section.${name}`)), content);

/** What a stage did, and how long it took. @param {Status} status @param {Stage} stage */
function stageFact({ progress, stages }, stage) {
  const { done, total } = progress[stage];
  const times = stages[stage];
  const took = times?.completed_at ? duration((Date.parse(times.completed_at) - Date.parse(times.started_at)) / 1000) : "";
  const count = total === null ? t(`count.${stage}`, { count: done }) : t(`count.${stage}Of`, { done, total });
  return element("li", { "data-stage": stage }, element("strong", {}, t(`stage.${stage}`)), element("span", {}, count), element("span", { class: "took" }, took));
}

/** An id, cut in the middle, to be copied whole. @param {string} id */
function copyable(id) {
  const copy = element("button", { type: "button", class: "icon-button", title: t("document.copy"), "aria-label": t("document.copyNamed", { id }), onclick: async () => {
    await navigator.clipboard.writeText(id);
    toast(t("said.copied"));
  } }, icon("copy"));
  const shown = id.length > 20 ? `${id.slice(0, 8)}…${id.slice(-8)}` : id;
  return element("span", { class: "copyable" }, element("code", { title: id }, shown), navigator.clipboard ? copy : null);
}

customElements.define("document-view", DocumentView);
