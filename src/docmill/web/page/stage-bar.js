/**
 * The three stages of a document as one bar: each fills with what is committed of it. A stage that
 * waits is hatched, one in which the document failed is outlined; both are said in words beside it.
 */

/** @import {Stage, Status} from "./types.js" */

import { element } from "./element.js";
import { percent, t } from "./language.js";
import { STAGES, fraction, sentence, waitsForRetry } from "./words.js";

export class StageBar extends HTMLElement {
  /** @type {Map<Stage, {segment: HTMLElement, fill: HTMLElement}>} */
  #segments = new Map();

  connectedCallback() {
    if (this.firstChild) return;
    this.setAttribute("role", "progressbar");
    this.setAttribute("aria-valuemin", "0");
    this.setAttribute("aria-valuemax", "100");
    for (const stage of STAGES) {
      const fill = element("span", { class: "fill" });
      const segment = element("span", { class: "segment", "data-stage": stage }, fill);
      this.#segments.set(stage, { segment, fill });
      this.append(segment);
    }
  }

  /** @param {Status} status */
  show(status) {
    this.dataset.status = status.status;
    this.setAttribute("aria-label", t("bar.label", { name: status.filename }));
    this.setAttribute("aria-valuenow", String(status.progress.percent));
    this.setAttribute("aria-valuetext", `${percent(status.progress.percent)}, ${sentence(status)}`);
    for (const [stage, { segment, fill }] of this.#segments) {
      segment.dataset.look = look(status, stage);
      fill.style.inlineSize = `${100 * fraction(status.progress[stage])}%`;
    }
  }
}

/** How a segment looks. @param {Status} status @param {Stage} stage */
function look(status, stage) {
  if (status.status === "failed" && status.error?.stage === stage) return "failed";
  if (status.stage !== stage) return "still";
  return waitsForRetry(status) ? "waiting" : "running";
}

customElements.define("stage-bar", StageBar);
