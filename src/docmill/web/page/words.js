/** What the page says, from what the server said. Pure: a status in, words out. */

/** @import {Count, Status} from "./types.js" */

/** @param {number} bytes */
export function size(bytes) {
  const [unit, factor] = bytes < 1e6 ? ["kilobyte", 1e3] : bytes < 1e9 ? ["megabyte", 1e6] : ["gigabyte", 1e9];
  const format = new Intl.NumberFormat("en", { style: "unit", unit, maximumFractionDigits: 1 });
  return format.format(bytes / factor);
}

/** @param {number} sent @param {number} total */
export const uploading = (sent, total) => `Uploading ${size(sent)} of ${size(total)}`;

/** @param {Count} count */
const units = (count) => (count.total === null ? `${count.done}` : `${count.done} of ${count.total}`);

const WORKING = {
  /** @param {Status} status */
  parse: (status) => `Reading pages ${units(status.progress.parse)}`,
  chunk: () => "Splitting into passages",
  /** @param {Status} status */
  embed: (status) => `Embedding ${units(status.progress.embed)}`,
};

const ENDED = { completed: "Searchable", cancelled: "Cancelled" };

/** How a document stands. @param {Status} status @returns {string} */
export function sentence(status) {
  switch (status.status) {
    case "queued":
      return status.queue_position === null || status.queue_position <= 1
        ? "Waiting, next in line"
        : `Waiting, ${status.queue_position - 1} ahead`;
    case "processing":
      return waiting(status) ?? WORKING[status.stage ?? "parse"](status) + soon(status);
    case "failed":
      return status.error ? `${status.error.title}. ${status.error.detail}` : "Failed";
    default:
      return ENDED[status.status];
  }
}

/** Why nobody works on it at the moment, and until when. @param {Status} status */
function waiting(status) {
  if (!status.next_attempt_at || !status.error) return null;
  const at = new Date(status.next_attempt_at).toLocaleTimeString();
  return `${status.error.title}; next try at ${at} (${status.attempt} of ${status.max_attempts} failed)`;
}

/** @param {Status} status */
function soon(status) {
  if (status.eta_seconds === null) return "";
  const seconds = Math.ceil(status.eta_seconds);
  return seconds < 90 ? ` · about ${seconds} s` : ` · about ${Math.round(seconds / 60)} min`;
}

/** @param {Status} status */
export const percent = (status) => `${status.progress.percent.toFixed(1)} %`;

/** @param {number} first @param {number} last */
export const pages = (first, last) => (first === last ? `page ${first}` : `pages ${first} to ${last}`);
