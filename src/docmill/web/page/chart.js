/**
 * Charts of samples, one a minute. What was not sampled is a gap: nothing is made up between two
 * samples that are further apart.
 */

import { element, say, svg } from "./element.js";
import { clock, number, t } from "./language.js";

const MINUTE = 60_000;

/** Neighbours in time, as runs without a gap.
 * @template {{at: number}} Sample
 * @param {Sample[]} samples @returns {Sample[][]} */
function runs(samples) {
  /** @type {Sample[][]} */
  const found = [];
  for (const sample of samples) {
    const run = found.at(-1);
    const before = run?.at(-1);
    if (run && before && sample.at - before.at <= 1.5 * MINUTE) run.push(sample);
    else found.push([sample]);
  }
  return found;
}

/** @param {number[][]} points */
const path = (points) => points.map(([x, y], at) => `${at ? "L" : "M"}${Number(x).toFixed(1)} ${Number(y).toFixed(1)}`).join("");

/** A line without words beside a number that says the last of it.
 * @param {{at: number, value: number}[]} samples @param {number} from @param {number} to in milliseconds */
export function sparkline(samples, from, to) {
  const [width, height] = [120, 32];
  const most = Math.max(1, ...samples.map(({ value }) => value));
  const x = (/** @type {number} */ at) => ((at - from) / (to - from)) * width;
  const y = (/** @type {number} */ value) => height - 2 - (value / most) * (height - 4);
  return svg("svg", { class: "sparkline", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    runs(samples).flatMap((run) => {
      const points = run.map(({ at, value }) => [x(at), y(value)]);
      const [first, last] = [Number(points[0]?.[0]), Number(points.at(-1)?.[0])];
      return [
        svg("path", { class: "under", d: `${path(points)}L${last} ${height}L${first} ${height}Z` }),
        // A sample alone is a dot.
        svg("path", { class: "over", d: points.length > 1 ? path(points) : `M${first - 1} ${points[0]?.[1]}h2`, "vector-effect": "non-scaling-stroke" }),
      ];
    }));
}

/** @typedef {{at: number, values: number[]}} Stacked the values of all series at one time */

const LEFT = 44;
const BOTTOM = 22;
const HEIGHT = 208;
const LEAST_BETWEEN_TIMES = 90;

/** Several series on each other over time, to be walked by pointer and by arrow keys. */
export class StackedChart extends HTMLElement {
  /** @type {Stacked[]} */
  #samples = [];
  /** @type {string[]} */
  #names = [];
  #label = "";
  #span = [0, 1];
  #current = -1;
  #drawing = element("div", { class: "drawing", tabindex: 0, role: "group" });
  #caption = element("p", { class: "caption" });
  #resized = new ResizeObserver(() => this.#draw());

  connectedCallback() {
    this.replaceChildren(this.#drawing, this.#caption);
    this.#resized.observe(this);
    this.#drawing.addEventListener("pointermove", (event) => this.#pointAt(event));
    this.#drawing.addEventListener("pointerleave", () => this.#point(-1));
    this.#drawing.addEventListener("keydown", (event) => {
      const at = this.#current < 0 ? this.#samples.length - 1 : this.#current;
      const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: this.#samples.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      this.#point(Math.max(0, Math.min(this.#samples.length - 1, to)));
    });
  }

  disconnectedCallback() {
    this.#resized.disconnect();
  }

  /** @param {string} label @param {string[]} names of the series, lowest first @param {Stacked[]} samples @param {number} from @param {number} to */
  show(label, names, samples, from, to) {
    this.#label = label;
    this.#names = names;
    this.#samples = samples;
    this.#span = [from, to];
    this.#draw();
  }

  #draw() {
    const width = Math.max(280, this.clientWidth);
    const most = Math.max(4, ...this.#samples.map(({ values }) => values.reduce((sum, value) => sum + value, 0)));
    const top = niceTop(most);
    const [from, to] = /** @type {[number, number]} */ (this.#span);
    const x = (/** @type {number} */ at) => LEFT + ((at - from) / (to - from)) * (width - LEFT - 4);
    const y = (/** @type {number} */ value) => 8 + (1 - value / top) * (HEIGHT - BOTTOM - 8);
    this.#drawing.setAttribute("aria-label", this.#label);
    this.#drawing.replaceChildren(svg("svg", { class: "chart", width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, "aria-hidden": "true" },
      grid(top, y, width), times(from, to, x, width),
      this.#names.map((_, series) => svg("g", { "data-series": series }, runs(this.#samples).map((run) => layer(run, series, x, y)))),
      svg("line", { class: "cross", y1: 8, y2: HEIGHT - BOTTOM, x1: -9, x2: -9 })));
    this.#point(this.#current);
  }

  /** @param {PointerEvent} event */
  #pointAt(event) {
    const box = this.#drawing.getBoundingClientRect();
    const [from, to] = /** @type {[number, number]} */ (this.#span);
    const time = from + ((event.clientX - box.left - LEFT) / (box.width - LEFT - 4)) * (to - from);
    const near = this.#samples.map(({ at }, index) => ({ index, far: Math.abs(at - time) })).sort((one, other) => one.far - other.far)[0];
    this.#point(near ? near.index : -1);
  }

  /** Say what one sample has; without one, what the last has. @param {number} index */
  #point(index) {
    this.#current = index;
    const sample = this.#samples[index] ?? this.#samples.at(-1);
    const cross = this.#drawing.querySelector(".cross");
    const [from, to] = /** @type {[number, number]} */ (this.#span);
    const place = sample && index >= 0 ? LEFT + ((sample.at - from) / (to - from)) * (Math.max(280, this.clientWidth) - LEFT - 4) : -9;
    cross?.setAttribute("x1", String(place));
    cross?.setAttribute("x2", String(place));
    say(this.#caption, sample ? told(sample, this.#names) : t("operator.noSamples"));
  }
}

/** @param {Stacked} sample @param {string[]} names */
const told = ({ at, values }, names) =>
  [clock(new Date(at).toISOString(), { timeStyle: "short" }), ...names.map((name, series) => `${name} ${number(values[series] ?? 0)}`)].join(" · ");

/** One series between what lies below it and its own top. A sample alone is a thin bar.
 * @param {Stacked[]} run @param {number} series @param {(at: number) => number} x @param {(value: number) => number} y */
function layer(run, series, x, y) {
  const below = (/** @type {Stacked} */ { values }) => values.slice(0, series).reduce((sum, value) => sum + value, 0);
  const wide = run.length === 1 ? [-1.5, 1.5] : [0];
  const upper = run.flatMap((sample) => wide.map((by) => [x(sample.at) + by, y(below(sample) + (sample.values[series] ?? 0))]));
  const lower = run.flatMap((sample) => wide.map((by) => [x(sample.at) + by, y(below(sample))])).reverse();
  return svg("path", { d: `${path([...upper, ...lower])}Z` });
}

/** The next round number. @param {number} most */
function niceTop(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  return ([1, 1.2, 1.6, 2, 3, 4, 6, 8, 10].find((factor) => factor * power >= most) ?? 10) * power;
}

/** @param {number} top @param {(value: number) => number} y @param {number} width */
const grid = (top, y, width) => svg("g", { class: "axis" }, ...[0, top / 2, top].flatMap((value) => [
  svg("line", { x1: LEFT, x2: width - 4, y1: Math.round(y(value)) + 0.5, y2: Math.round(y(value)) + 0.5 }),
  svg("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, number(value, { notation: "compact" }))]));

/** @param {number} from @param {number} to @param {(at: number) => number} x @param {number} width */
function times(from, to, x, width) {
  const steps = [5, 10, 15, 30, 60, 120, 240, 480];
  const step = (steps.find((minutes) => (to - from) / (minutes * MINUTE) <= width / LEAST_BETWEEN_TIMES) ?? 480) * MINUTE;
  const first = Math.ceil(from / step) * step;
  const marks = Array.from({ length: Math.max(0, Math.floor((to - first) / step) + 1) }, (_, at) => first + at * step);
  return svg("g", { class: "axis" }, marks.map((at) =>
    svg("text", { x: x(at), y: HEIGHT - 5, "text-anchor": "middle" }, clock(new Date(at).toISOString(), { timeStyle: "short" }))));
}

customElements.define("stacked-chart", StackedChart);
