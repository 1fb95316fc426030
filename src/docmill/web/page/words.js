/** What the page says about a document, from what the server said. Pure: a status in, words out. */

/** @import {Count, Stage, Status, Failure, Warning} from "./types.js" */

import { clock, duration, has, number, t } from "./language.js";

/** @type {Stage[]} */
export const STAGES = ["parse", "chunk", "embed"];

/** The share of the whole that each stage has in a bar; the server's percentage has the same. */
export const SHARES = { parse: 45, chunk: 10, embed: 45 };

/** The server counts places in line as far as this (status.py): who stands there stands there or behind. */
const LINE_END = 200;

/** @param {Count} count from 0 to 1 */
export function fraction(count) {
  if (count.total === null) return 0;
  return count.total === 0 ? 1 : Math.min(1, count.done / count.total);
}

/** Whether nobody works on it until its next try is due. @param {Status} status */
export const waitsForRetry = (status) => status.status === "processing" && status.next_attempt_at !== null;

/** @param {Status} status */
export const isUnfinished = (status) => !status.done;

/** How a document stands, in a sentence. @param {Status} status */
export function sentence(status) {
  switch (status.status) {
    case "queued":
      return queued(status.queue_position);
    case "processing":
      return waitsForRetry(status) ? waiting(status) : working(status) + soon(status.eta_seconds);
    case "completed":
      return completed(status);
    case "failed":
      return status.error ? failure(status.error) : t("state.failed");
    default:
      return t("status.cancelled");
  }
}

/** @param {number | null} position 1 for the next in line */
function queued(position) {
  if (position === null) return t("status.queued");
  if (position <= 1) return t("status.next");
  return t(position < LINE_END ? "status.ahead" : "status.far", { count: position - 1 });
}

/** @param {Status} status */
function working(status) {
  const stage = status.stage ?? "parse";
  const { done, total } = status.progress[stage];
  return total === null ? t(`status.${stage}`, { count: done }) : t(`status.${stage}Of`, { done, total });
}

/** @param {Status} status */
function waiting(status) {
  const at = clock(status.next_attempt_at ?? "");
  if (!status.error) return t("status.handedBack");
  return t("status.retry", { why: title(status.error), at, attempt: status.attempt, most: status.max_attempts });
}

/** @param {number | null} seconds */
const soon = (seconds) => (seconds === null ? "" : ` · ${t("status.soon", { time: duration(Math.ceil(seconds)) })}`);

/** @param {Status} status */
function completed({ progress, warnings }) {
  const nothing = warnings.find(({ code }) => code === "NO_TEXT");
  if (nothing) return warning(nothing);
  const pages = t("status.pages", { count: progress.parse.done });
  const passages = t("status.passages", { count: progress.chunk.done });
  const noted = warnings.length ? ` · ${t("status.warnings", { count: warnings.length })}` : "";
  return `${pages} · ${passages}${noted}`;
}

/** The short form of what went wrong. @param {Failure} error */
export function title(error) {
  const name = `failures.${error.code}.title`;
  return has(name) ? t(name) : error.title;
}

/** What went wrong and what to do about it. @param {Failure} error */
export function failure(error) {
  const name = `failures.${error.code}.remedy`;
  return has(name) ? `${title(error)}. ${t(name)}` : error.detail;
}

/** @param {Warning} given */
export function warning(given) {
  const name = `warnings.${given.code}`;
  const said = has(name) ? t(name) : given.detail;
  return given.page === undefined ? said : t("status.onPage", { page: given.page, said });
}

/** @param {number} first @param {number} last */
export const pages = (first, last) =>
  first === last ? t("passage.page", { page: first }) : t("passage.pages", { first: number(first), last: number(last) });
