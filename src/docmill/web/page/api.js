/** Calls to the server. A refusal becomes an Error whose message is a sentence for people. */

/** @import {Hit, Status} from "./types.js" */

/** The server can't be reached; nothing is known of what was asked. */
export class Unreachable extends Error {}

/** The server refused, with a stable code. */
export class Refused extends Error {
  /** @param {string} code @param {string} detail */
  constructor(code, detail) {
    super(detail);
    this.code = code;
  }
}

/**
 * @param {string} path
 * @param {RequestInit} [options]
 * @returns {Promise<Response>}
 */
async function send(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Unreachable("The server can't be reached.");
  }
  if (answer.ok || answer.status === 304) return answer;
  throw refusal(answer.status, await answer.text());
}

/**
 * What an answer that is no success means: problem+json, or something between us and the server.
 *
 * @param {number} status
 * @param {string} body
 * @returns {Error}
 */
export function refusal(status, body) {
  let problem;
  try {
    problem = JSON.parse(body);
  } catch {
    return new Unreachable(`The server answers ${status}.`);
  }
  if (status >= 500 && status !== 507) return new Unreachable(String(problem.detail));
  return new Refused(String(problem.code), String(problem.detail));
}

/** @param {unknown} body @returns {RequestInit} */
const posted = (body) => ({
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(body),
});

/**
 * @param {string} token
 * @returns {Promise<{documents: Status[], next_page_token: string}>}
 */
export async function listDocuments(token) {
  return (await send(`/documents?page_size=50&page_token=${encodeURIComponent(token)}`)).json();
}

/**
 * The statuses of some documents; `documents` is null if nothing has changed since `tag`.
 *
 * @param {string[]} ids at most 100
 * @param {string} tag
 * @returns {Promise<{documents: Status[] | null, tag: string, retryAfter: number}>}
 */
export async function readStatuses(ids, tag) {
  const answer = await send(`/documents?ids=${ids.join(",")}`, {
    headers: tag ? { "If-None-Match": tag } : {},
    cache: "no-store",
  });
  return {
    documents: answer.status === 304 ? null : (await answer.json()).documents,
    tag: answer.headers.get("ETag") ?? "",
    retryAfter: Number(answer.headers.get("Retry-After") ?? 1),
  };
}

/** @param {string} id @param {"retry" | "cancel"} what @returns {Promise<Status>} */
export async function ask(id, what) {
  return (await send(`/documents/${id}/${what}`, { method: "POST" })).json();
}

/** @param {string} id */
export async function remove(id) {
  await send(`/documents/${id}`, { method: "DELETE" });
}

/** @param {string} query @returns {Promise<Hit[]>} */
export async function search(query) {
  return (await (await send("/search", posted({ query, limit: 10 }))).json()).hits;
}

/** @returns {Promise<{max_upload_bytes: number, types: string[]}>} */
export async function limits() {
  return (await send("/limits")).json();
}

/** Why documents would wait now, in a sentence; null where nothing is missing. */
export async function whatIsMissing() {
  const answer = await fetch("/readyz").catch(() => null);
  if (!answer) throw new Unreachable("The server can't be reached.");
  if (answer.ok) return null;
  const { checks } = await answer.json();
  const missing = Object.values(checks).find((check) => !check.ok);
  return missing ? String(missing.detail) : null;
}
