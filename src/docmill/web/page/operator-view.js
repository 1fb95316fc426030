/** The operator's view: the whole service at a glance, and what may be done to it. */

/** @import {Act, Failing, Overview, StageLoad, WorkerSeen} from "./types.js" */

import { toast } from "./announce.js";
import * as api from "./api.js";
import { StackedChart, sparkline } from "./chart.js";
import { element, say } from "./element.js";
import { icon, ring } from "./icons.js";
import { ago, clock, date, duration, has, number, t } from "./language.js";
import { poll } from "./poll.js";
import { confirmed } from "./question.js";
import { STAGES } from "./words.js";

/** @typedef {"stages" | "workers" | "failures" | "owners" | "actions"} Part */

const SPANS = [15, 60, 360, 1440];

export class OperatorView extends HTMLElement {
  /** @type {Overview | null} */
  #seen = null;
  #minutes = 60;
  #isLive = true;
  #body = element("div", { hidden: true });
  #message = element("p", { class: "empty", hidden: true });
  #services = element("ul", { class: "warnings" });
  #tiles = element("div", { class: "tiles" });
  #chart = new StackedChart();
  /** @type {Record<Part, HTMLTableSectionElement>} */
  #parts = {
    stages: element("tbody"), workers: element("tbody"), failures: element("tbody"), owners: element("tbody"), actions: element("tbody"),
  };

  get heading() {
    return t("view.operator");
  }

  connectedCallback() {
    this.#body.replaceChildren(
      this.#services, this.#tiles,
      section("depth", legend(), this.#chart),
      section("stages", this.#table("stages", ["stage", "due", "later", "running", "limit", ""])),
      section("workers", this.#table("workers", ["worker", "state", "holds", ""])),
      section("failures", this.#table("failures", ["reason", "stage", "documents", "last", ""])),
      section("owners", this.#table("owners", ["owner", "waiting", "running"])),
      section("actions", this.#table("actions", ["when", "who", "what"])));
    this.replaceChildren(
      element("div", { class: "top" }, element("h1", { tabindex: -1 }, this.heading), this.#choices()), this.#message, this.#body);
    this.#watch();
  }

  #choices() {
    const span = element("select", { onchange: () => { this.#minutes = Number(span.value); this.#watch(); } },
      ...SPANS.map((minutes) => element("option", { value: minutes, selected: minutes === this.#minutes }, t("operator.span", { time: duration(minutes * 60) }))));
    const live = element("input", { type: "checkbox", checked: true, onchange: () => { this.#isLive = live.checked; this.#watch(); } });
    return element("div", { class: "buttons" },
      element("label", { class: "live" }, live, element("span", {}, t("operator.live"))),
      element("label", {}, element("span", { class: "visually-hidden" }, t("operator.spanLabel")), span));
  }

  #watch() {
    poll.watch(this.#isLive ? (signal) => this.#ask(signal) : null);
  }

  /** @param {AbortSignal} signal */
  async #ask(signal) {
    try {
      const { body, retryAfter } = await api.poll(`/operator/overview?minutes=${this.#minutes}`, signal);
      this.#seen = body;
      this.#draw();
      return { changed: false, retryAfter };
    } catch (error) {
      if (!(error instanceof api.Refused)) throw error;
      say(this.#message, error.sentence);
      this.#message.hidden = false;
      this.#body.hidden = true;
      return { changed: false, retryAfter: null };
    }
  }

  #draw() {
    const seen = this.#seen;
    if (!seen) return;
    this.#body.hidden = false;
    this.#message.hidden = true;
    this.#services.hidden = seen.services.length === 0;
    this.#services.replaceChildren(...seen.services.map(({ name, failures, paused_until }) =>
      element("li", {}, icon("warning"), t("operator.service", { name, failures, until: clock(paused_until) }))));
    this.#showTiles(seen);
    this.#showDepth(seen);
    this.#fill("stages", seen.stages, (stage) => this.#stageRow(stage, seen.may_act));
    this.#fill("workers", seen.workers, (worker) => this.#workerRow(worker, seen.may_act));
    this.#fill("failures", seen.failures, (failing) => this.#failureRow(failing, seen.may_act));
    this.#fill("owners", seen.owners, ownerRow);
    this.#fill("actions", seen.actions, actionRow);
  }

  // what is seen ------------------------------------------------------------------------

  /** @param {Overview} seen */
  #showTiles(seen) {
    const [from, to] = this.#span();
    const documents = samplesOf(seen, "document");
    const line = (/** @type {"waiting" | "oldest_seconds" | "finished" | "failed"} */ column) =>
      sparkline(documents.map(({ at, of }) => ({ at, value: Number(of(column) ?? 0) })), from, to);
    const due = seen.stages.reduce((sum, stage) => sum + stage.due, 0);
    const running = seen.stages.reduce((sum, stage) => sum + stage.running, 0);
    const oldest = seen.stages.flatMap(({ oldest_at }) => oldest_at ?? []).sort()[0];
    const last = documents.at(-1);
    const failed = seen.failures.filter(({ state }) => state === "failed").reduce((sum, { documents: count }) => sum + count, 0);
    this.#tiles.replaceChildren(
      tile("waiting", number(due), t("operator.runningNow", { count: running }), line("waiting")),
      tile("oldest", oldest ? duration(Math.max(0, (api.now() - Date.parse(oldest)) / 1000)) : t("operator.none"), "", line("oldest_seconds")),
      tile("finished", number(Number(last?.of("finished") ?? 0)), last ? t("operator.minuteBefore", { at: clock(new Date(last.at).toISOString(), { timeStyle: "short" }) }) : "", line("finished")),
      tile("failed", number(failed), "", line("failed")));
  }

  /** @param {Overview} seen */
  #showDepth(seen) {
    const [from, to] = this.#span();
    const series = STAGES.map((stage) => new Map(samplesOf(seen, stage).map(({ at, of }) => [at, Number(of("waiting")) + Number(of("running"))])));
    const ats = [...new Set(series.flatMap((values) => [...values.keys()]))].sort((one, other) => one - other);
    const samples = ats.map((at) => ({ at, values: series.map((values) => values.get(at) ?? 0) }));
    // How it stands at this moment is as true as a sample, and newer.
    samples.push({ at: to, values: seen.stages.map(({ due, later, running }) => due + later + running) });
    this.#chart.show(t("operator.depth"), STAGES.map((stage) => t(`stage.${stage}`)), samples, from, to);
  }

  /** From when to when the charts go, in milliseconds. @returns {[number, number]} */
  #span() {
    const to = api.now();
    return [to - this.#minutes * 60_000, to];
  }

  /** @param {Part} name @param {string[]} columns */
  #table(name, columns) {
    const heads = columns.map((column) => element(column ? "th" : "td", column ? { scope: "col", class: NUMBERS.has(column) ? "number" : "" } : {}, column ? t(`column.${column}`) : ""));
    return element("div", { class: "scrolled", tabindex: 0, role: "group", "aria-labelledby": `${name}-title` },
      element("table", { "data-table": name }, element("thead", {}, element("tr", {}, ...heads)), this.#parts[name]));
  }

  /** Rows that say the same stay, so that a button under a finger or a focus does too.
   * @template Row
   * @param {Part} name @param {Row[]} rows @param {(row: Row) => HTMLTableRowElement} draw */
  #fill(name, rows, draw) {
    const body = this.#parts[name];
    const made = rows.map(draw);
    if (made.length === 0) made.push(element("tr", {}, element("td", { colspan: 9, class: "none" }, t(`operator.no.${name}`))));
    const now = made.map((row) => row.outerHTML).join("");
    if (body.dataset.drawn === now) return;
    body.dataset.drawn = now;
    const focused = body.contains(document.activeElement) ? /** @type {HTMLElement} */ (document.activeElement).dataset.act : undefined;
    body.replaceChildren(...made);
    if (focused) /** @type {HTMLElement | null} */ (body.querySelector(`[data-act="${CSS.escape(focused)}"]`))?.focus();
  }

  // rows --------------------------------------------------------------------------------

  /** @param {StageLoad} load @param {boolean} mayAct */
  #stageRow({ stage, due, later, running, max_running, paused }, mayAct) {
    const limit = element("input", {
      type: "number", min: 1, max: 10000, value: max_running ?? "", placeholder: t("operator.noLimit"), "data-act": `limit-${stage}`,
      "aria-label": t("operator.limitOf", { stage: t(`stage.${stage}`) }),
      onchange: () => this.#act(`stages/${stage}`, { max_running: limit.value ? Number(limit.value) : null }),
    });
    return element("tr", {},
      element("td", {}, element("span", { class: "swatch", "data-stage": stage }), t(`stage.${stage}`), paused && element("span", { class: "paused" }, t("operator.paused"))),
      figure(due), figure(later), figure(running),
      element("td", { class: "number" }, mayAct ? limit : max_running ?? t("operator.noLimit")),
      element("td", { class: "number" }, mayAct && this.#button(paused ? "resume" : "pause", `stage-${stage}`, t(`stage.${stage}`), () => this.#act(`stages/${stage}`, { paused: !paused }))));
  }

  /** @param {WorkerSeen} worker @param {boolean} mayAct */
  #workerRow({ id, state, draining, slots, seen_at, holds }, mayAct) {
    const word = draining && state !== "gone" ? (holds.length ? "draining" : "drained") : state;
    const beat = element("span", { class: "beat", "data-state": word }, word === "live" ? ring("processing") : ring("queued"), t(`worker.${word}`),
      element("span", { class: "detail" }, state === "live" ? t("worker.used", { used: holds.length, slots }) : t("worker.seen", { ago: ago(seen_at, api.now()) })));
    const held = holds.map(({ document_id, stage, part, attempt, done, total, since }) => element("li", {},
      element("span", { class: "swatch", "data-stage": stage }), `${t(`stage.${stage}`)} `,
      element("a", { class: "mono", href: `/view/${document_id}`, title: document_id }, document_id.slice(0, 8)),
      element("span", { class: "detail" }, [part > 0 && t("worker.part", { part: part + 1 }), attempt > 1 && t("timeline.nth", { attempt }),
        total !== null && t("worker.done", { done, total }), t("worker.since", { at: clock(since) })].filter(Boolean).join(" · "))));
    return element("tr", {},
      element("td", { class: "mono" }, id), element("td", {}, beat),
      element("td", {}, held.length ? element("ul", { class: "holds" }, held) : element("span", { class: "none" }, t("worker.nothing"))),
      element("td", { class: "number" }, mayAct && state !== "gone"
        && this.#button(draining ? "undrain" : "drain", `worker-${id}`, id, () => this.#act(`workers/${encodeURIComponent(id)}`, { draining: !draining }))));
  }

  /** @param {Failing} failing @param {boolean} mayAct */
  #failureRow(failing, mayAct) {
    const { state, code, stage, documents, owners, last_at } = failing;
    const known = has(`failures.${code}.title`);
    return element("tr", {},
      element("td", {}, element("strong", {}, known ? t(`failures.${code}.title`) : code),
        element("span", { class: "detail" }, state === "waiting" ? t("operator.triedAgain", { at: clock(last_at) }) : known ? t(`failures.${code}.remedy`) : ""),
        element("code", { class: "detail" }, code)),
      element("td", {}, t(`stage.${stage}`)),
      element("td", { class: "number" }, number(documents), owners > 1 && element("span", { class: "detail" }, t("operator.ofOwners", { count: owners }))),
      element("td", {}, element("time", { datetime: last_at, title: date(last_at) }, state === "failed" ? ago(last_at, api.now()) : "")),
      element("td", { class: "number" }, mayAct && state === "failed" && this.#button("retryAll", `retry-${code}-${stage}`, code, () => this.#retry(failing))));
  }

  /** @param {"pause" | "resume" | "drain" | "undrain" | "retryAll"} name @param {string} key @param {string} of @param {() => void} onclick */
  #button(name, key, of, onclick) {
    const sign = /** @type {const} */ ({ pause: "pause", resume: "resume", drain: "drain", undrain: "resume", retryAll: "retry" })[name];
    return element("button", { type: "button", class: "small", "data-act": key, "aria-label": `${t(`act.${name}`)}: ${of}`, onclick }, icon(sign), t(`act.${name}`));
  }

  // acts --------------------------------------------------------------------------------

  /** @param {string} path @param {unknown} body */
  async #act(path, body) {
    try {
      await api.operate(path, body);
    } catch (error) {
      toast(api.sentence(error), "bad");
    }
    poll.now();
  }

  /** Retry everything that failed alike until now, some at a time. @param {Failing} failing */
  async #retry({ code, stage, documents }) {
    const asked = { title: t("question.retry", { count: documents }), body: t("question.retryBody", { code }), action: t("act.retryAll"), keep: t("question.leave") };
    if (!(await confirmed(asked))) return;
    try {
      let done = { retried: 0, more: true, before: /** @type {string | undefined} */ (undefined) };
      let retried = 0;
      while (done.more) {
        done = await api.operate("retry", { code, stage, ...(done.before ? { before: done.before } : {}) });
        retried += done.retried;
        poll.now();
      }
      toast(t("said.retried", { count: retried }));
    } catch (error) {
      toast(api.sentence(error), "bad");
    }
  }
}

const NUMBERS = new Set(["due", "later", "running", "limit", "documents", "waiting"]);

/** @param {string} name @param {...Node} content */
const section = (name, ...content) =>
  element("section", { "aria-labelledby": `${name}-title` }, element("h2", { id: `${name}-title` }, t(`operator.section.${name}`)), ...content);

const legend = () => element("ul", { class: "legend" }, STAGES.map((stage) =>
  element("li", {}, element("span", { class: "swatch", "data-stage": stage }), t(`stage.${stage}`))));

/** @param {string} name @param {string} value @param {string} note @param {Node} line */
const tile = (name, value, note, line) =>
  element("div", { class: "tile", "data-tile": name }, element("span", { class: "label" }, t(`tile.${name}`)),
    element("strong", {}, value), element("span", { class: "note" }, note), line);

/** @param {number} value */
const figure = (value) => element("td", { class: "number" }, number(value));

/** The samples of a subject, with a way to each column by its name. @param {Overview} seen @param {string} subject */
function samplesOf({ samples, sample_columns }, subject) {
  const place = new Map(sample_columns.map((name, at) => [name, at]));
  return (samples[subject] ?? []).map((row) => ({
    at: Date.parse(String(row[0])),
    of: (/** @type {string} */ column) => row[place.get(column) ?? -1] ?? null,
  }));
}

/** @param {{owner_id: string, waiting: number, running: number}} owner */
const ownerRow = ({ owner_id, waiting, running }) => element("tr", {}, element("td", { class: "mono" }, owner_id), figure(waiting), figure(running));

/** @param {Act} act */
function actionRow({ at, operator, action, subject, details }) {
  const what = STAGES.some((stage) => stage === subject) ? t(`stage.${subject}`) : subject;
  const limit = details.max_running === null || details.max_running === undefined ? t("operator.noLimit") : number(Number(details.max_running));
  return element("tr", {}, element("td", {}, element("time", { datetime: at }, date(at))), element("td", { class: "mono" }, operator),
    element("td", {}, t(`did.${action}`, { what, limit, count: Number(details.documents ?? 0) })));
}

customElements.define("operator-view", OperatorView);
