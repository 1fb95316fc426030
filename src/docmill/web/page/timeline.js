/**
 * What happened to a document, drawn from its audit trail: a lane per stage, every attempt as a bar on
 * a true axis of time, waits as dotted lines. Arrow keys walk from attempt to attempt; the same stands
 * in a table below, for who reads or copies.
 */

/** @import {Attempt, Job, Stage} from "./types.js" */

import { now } from "./api.js";
import { element, say, svg } from "./element.js";
import { clock, duration, number, t } from "./language.js";
import { STAGES, title } from "./words.js";

const BAR = 14;
const GAP = 4;
const LANE_PADDING = 8;
const LABEL = 84;
const AXIS = 22;
const LEAST_BAR = 3;
const STEPS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 21600, 43200, 86400];
const MOST_TICKS = 7;
const WORTH_TELLING = 100; // milliseconds of waiting

/** @typedef {{job: Job, attempt: Attempt, start: number, end: number, waitedFrom: number | null}} Bar times in milliseconds */

/** @param {Job[]} jobs @returns {Bar[]} in the order of time */
function barsOf(jobs) {
  const present = now();
  const bars = jobs.flatMap((job) => job.attempts.map((attempt, at) => {
    const start = Date.parse(attempt.started_at);
    const before = job.attempts[at - 1]?.ended_at ?? (job.part === 0 ? job.created_at : null);
    return { job, attempt, start, end: attempt.ended_at ? Date.parse(attempt.ended_at) : Math.max(start, present), waitedFrom: before ? Date.parse(before) : null };
  }));
  return bars.sort((one, other) => one.start - other.start);
}

/** Bars that overlap go below each other. @param {Bar[]} bars @returns {Map<Bar, number>} */
function rowsOf(bars) {
  /** @type {number[]} the time from which each row is free */
  const free = [];
  const rows = new Map();
  for (const bar of bars) {
    const from = bar.waitedFrom ?? bar.start;
    const row = free.findIndex((time) => time <= from);
    rows.set(bar, row < 0 ? free.length : row);
    free[row < 0 ? free.length : row] = bar.end;
  }
  return rows;
}

export class TimeLine extends HTMLElement {
  /** @type {Job[]} */
  #jobs = [];
  #generation = 0;
  #drawing = element("div", { class: "drawing" });
  #caption = element("p", { class: "caption", "aria-hidden": "true" });
  #table = element("details", { class: "attempts" });
  #current = 0;
  #resized = new ResizeObserver(() => this.#draw());

  connectedCallback() {
    this.replaceChildren(this.#drawing, this.#caption, this.#table);
    this.#resized.observe(this);
  }

  disconnectedCallback() {
    this.#resized.disconnect();
  }

  /** @param {Job[]} jobs @param {number} generation which of the document's generations to show */
  show(jobs, generation) {
    this.#jobs = jobs;
    this.#generation = generation;
    this.#draw();
    this.#fillTable();
  }

  get #shown() {
    return this.#jobs.filter(({ generation }) => generation === this.#generation);
  }

  #draw() {
    const bars = barsOf(this.#shown);
    const hadFocus = this.#drawing.contains(document.activeElement);
    const width = Math.max(260, this.clientWidth);
    if (bars.length === 0) {
      this.#drawing.replaceChildren(element("p", { class: "none" }, t("timeline.none")));
      return;
    }
    this.#drawing.replaceChildren(drawn(bars, width));
    this.#listen(bars);
    this.#point(Math.min(this.#current, bars.length - 1), bars, hadFocus);
  }

  /** One stop for the tab key; arrows, home and end walk between the attempts. @param {Bar[]} bars */
  #listen(bars) {
    const marks = [...this.#drawing.querySelectorAll("[data-bar]")];
    for (const [at, mark] of marks.entries()) {
      mark.addEventListener("pointerenter", () => this.#point(at, bars, false));
      mark.addEventListener("focus", () => this.#point(at, bars, false));
    }
    this.#drawing.firstElementChild?.addEventListener("keydown", (event) => {
      const to = { ArrowRight: this.#current + 1, ArrowLeft: this.#current - 1, Home: 0, End: bars.length - 1 }[/** @type {KeyboardEvent} */ (event).key];
      if (to === undefined) return;
      event.preventDefault();
      this.#point(Math.max(0, Math.min(bars.length - 1, to)), bars, true);
    });
  }

  /** @param {number} at @param {Bar[]} bars @param {boolean} withFocus */
  #point(at, bars, withFocus) {
    this.#current = at;
    for (const mark of /** @type {NodeListOf<SVGElement>} */ (this.#drawing.querySelectorAll("[data-bar]"))) {
      const is = mark.dataset.bar === String(at);
      mark.setAttribute("tabindex", is ? "0" : "-1");
      mark.toggleAttribute("data-current", is);
      if (is && withFocus) mark.focus();
    }
    say(this.#caption, told(/** @type {Bar} */ (bars[at])));
  }

  #fillTable() {
    const isOpen = this.#table.open;
    const heads = ["stage", "attempt", "outcome", "started", "took", "worker"].map((name) => element("th", { scope: "col" }, t(`timeline.${name}`)));
    const rows = barsOf(this.#shown).map(({ job, attempt, start, end }) => element("tr", {},
      element("td", {}, partName(job)), element("td", { class: "number" }, number(attempt.attempt)),
      element("td", {}, outcome(attempt), attempt.error && element("span", { class: "detail" }, `${attempt.error.code}: ${attempt.error.detail}`)),
      element("td", {}, element("time", { datetime: attempt.started_at }, clock(attempt.started_at))), element("td", { class: "number" }, duration((end - start) / 1000)),
      element("td", { class: "mono" }, attempt.worker)));
    const summary = element("summary", {}, t("timeline.table", { count: rows.length }));
    this.#table.replaceChildren(summary, element("div", { class: "scrolled", tabindex: 0, role: "group", "aria-label": t("timeline.label") },
      element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows))));
    this.#table.open = isOpen;
  }
}

/** @param {Job} job */
function partName({ stage, part, span }) {
  const name = t(`stage.${stage}`);
  if (!span) return part ? t("timeline.part", { name, part: part + 1 }) : name;
  // Passages are counted from 0, pages from 1.
  const more = stage === "embed" ? 1 : 0;
  return t(`timeline.${stage === "embed" ? "passagesOf" : "pagesOf"}`, { name, first: span.first + more, last: span.last + more });
}

/** @param {Attempt} attempt */
const outcome = ({ outcome }) => t(`outcome.${outcome ?? "running"}`);

/** An attempt in one sentence. @param {Bar} bar */
function told({ job, attempt, start, end, waitedFrom }) {
  const waited = waitedFrom !== null && start - waitedFrom >= WORTH_TELLING ? t("timeline.waited", { time: duration((start - waitedFrom) / 1000) }) : "";
  const parts = [
    partName(job), t("timeline.nth", { attempt: attempt.attempt }), outcome(attempt) + (attempt.error ? `: ${title(attempt.error)}` : ""),
    duration((end - start) / 1000), waited, attempt.worker,
  ];
  return parts.filter(Boolean).join(" · ");
}

// drawing ---------------------------------------------------------------------------------

/** @param {Bar[]} bars @param {number} width */
function drawn(bars, width) {
  const began = Math.min(...bars.map(({ start, waitedFrom }) => waitedFrom ?? start));
  const length = Math.max(1, ...bars.map(({ end }) => end - began));
  const x = (/** @type {number} */ time) => LABEL + ((time - began) / length) * (width - LABEL - 8);
  let top = AXIS;
  const lanes = STAGES.filter((stage) => bars.some(({ job }) => job.stage === stage)).map((stage) => {
    const drawing = lane(stage, bars, x, top, width);
    top += drawing.height;
    return drawing.element;
  });
  return svg("svg", { class: "timeline", width, height: top + 1, viewBox: `0 0 ${width} ${top + 1}`, role: "group", "aria-label": t("timeline.label") },
    axis(length, x, began, top), lanes);
}

/** @param {Stage} stage @param {Bar[]} all @param {(time: number) => number} x @param {number} top @param {number} width */
function lane(stage, all, x, top, width) {
  const bars = all.filter(({ job }) => job.stage === stage);
  const rows = rowsOf(bars);
  const height = (Math.max(...rows.values()) + 1) * (BAR + GAP) - GAP + 2 * LANE_PADDING;
  const marks = bars.map((bar) => mark(bar, all.indexOf(bar), x, top + LANE_PADDING + (rows.get(bar) ?? 0) * (BAR + GAP)));
  return {
    height,
    element: svg("g", { "data-stage": stage },
      svg("line", { class: "edge", x1: 0, x2: width, y1: top + 0.5, y2: top + 0.5 }),
      svg("text", { class: "lane", x: 0, y: top + LANE_PADDING + 11, "aria-hidden": "true" }, t(`stage.${stage}`)), marks),
  };
}

/** @param {Bar} bar @param {number} at @param {(time: number) => number} x @param {number} y */
function mark(bar, at, x, y) {
  const { attempt, start, end, waitedFrom } = bar;
  const left = x(start);
  const width = Math.max(LEAST_BAR, x(end) - left);
  const wait = waitedFrom !== null && left - x(waitedFrom) > 2
    && svg("line", { class: "wait", x1: x(waitedFrom) + 1, x2: left - 1, y1: y + BAR / 2, y2: y + BAR / 2 });
  return svg("g", { "data-bar": at, "data-outcome": attempt.outcome ?? "running", tabindex: -1, role: "img", "aria-label": told(bar) },
    wait || null,
    svg("rect", { class: "hit", x: left - 2, y: y - GAP / 2, width: width + 4, height: BAR + GAP }),
    svg("rect", { class: "bar", x: left, y, width, height: BAR, rx: 3 }),
    attempt.error ? failedMark(left, width, y, attempt.error.code) : null);
}

/** A cross in the bar, and the code beside it where there is room. @param {number} left @param {number} width @param {number} y @param {string} code */
const failedMark = (left, width, y, code) => svg("g", { class: "failed-mark", "aria-hidden": "true" },
  width >= 12 ? svg("path", { d: `M${left + 4} ${y + 4}l6 6m0-6l-6 6` }) : null,
  width > code.length * 7 + 16 ? svg("text", { x: left + 15, y: y + 10.5 }, code) : null);

/** @param {number} length in milliseconds @param {(time: number) => number} x @param {number} began @param {number} bottom */
function axis(length, x, began, bottom) {
  const step = (STEPS.find((seconds) => length / 1000 / seconds <= MOST_TICKS) ?? 86400 * Math.ceil(length / 86400e3 / MOST_TICKS)) * 1000;
  const ticks = Array.from({ length: Math.floor(length / step) + 1 }, (_, at) => at * step);
  return svg("g", { class: "axis", "aria-hidden": "true" }, ...ticks.flatMap((time) => [
    svg("line", { x1: Math.round(x(began + time)) + 0.5, x2: Math.round(x(began + time)) + 0.5, y1: AXIS - 5, y2: bottom }),
    svg("text", { x: x(began + time), y: 11, "text-anchor": time === 0 ? "start" : time > 0.97 * length ? "end" : "middle" }, tick(time, step))]));
}

/** @param {number} time @param {number} step in milliseconds */
function tick(time, step) {
  if (step >= 60_000) return duration(time / 1000);
  const [unit, value] = step < 100 ? ["millisecond", time] : ["second", time / 1000];
  return number(value, { style: "unit", unit, unitDisplay: "narrow", maximumFractionDigits: step < 1000 ? 1 : 0 });
}

customElements.define("time-line", TimeLine);
