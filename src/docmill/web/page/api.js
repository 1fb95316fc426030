/** Calls to the server. What it refuses becomes `Refused`, what does not reach it `Unreachable`. */

/** @import {Collection, Details, DocumentPage, Filter, Hit, Job, Leaf, Limits, Status, Who} from "./types.js" */

import { t, has, bytes } from "./language.js";

/** The server can't be reached, or is in trouble itself; nothing is known of what was asked. */
export class Unreachable extends Error {
  /** @param {number} [retryAfter] in seconds, where the server said so */
  constructor(retryAfter) {
    super("unreachable");
    this.retryAfter = retryAfter;
  }

  /** What a person should read. */
  get sentence() {
    return t("problems.UNREACHABLE");
  }
}

/** The server does not know who asks. That passes, too: somebody signs in. */
export class SignedOut extends Unreachable {
  /** What a person should read. @override */
  get sentence() {
    return t("problems.NOT_AUTHENTICATED");
  }
}

/** The server refused, with a stable code. */
export class Refused extends Error {
  /** @param {string} code @param {string} detail @param {{max_size?: number}} [members] */
  constructor(code, detail, members = {}) {
    super(detail);
    this.code = code;
    this.members = members;
  }

  /** What a person should read: the catalogue's sentence, or the server's own where that has none. */
  get sentence() {
    const name = `problems.${this.code}`;
    return has(name) ? t(name, { limit: bytes(this.members.max_size ?? 0) }) : this.message;
  }
}

/** What a person should read about anything that was thrown. @param {unknown} error */
export function sentence(error) {
  return error instanceof Refused || error instanceof Unreachable ? error.sentence : t("problems.INTERNAL");
}

/**
 * What an answer that is no success means: problem+json, or something between us and the server.
 * That nobody is signed in is told to whoever listens for it.
 *
 * @param {number} status @param {string} body @param {string | null} [retryAfter]
 * @returns {Refused | Unreachable}
 */
export function refusal(status, body, retryAfter) {
  let problem;
  try {
    problem = JSON.parse(body);
  } catch {
    problem = null;
  }
  const isOurs = problem && typeof problem.code === "string";
  if (isOurs && problem.code === "NOT_AUTHENTICATED") {
    tellSignedOut();
    return new SignedOut();
  }
  if (!isOurs || (status >= 500 && status !== 507)) return new Unreachable(Number(retryAfter) || undefined);
  return new Refused(problem.code, String(problem.detail), problem);
}

let tellSignedOut = () => {};

/** @param {() => void} listener called when the server does not know, or no longer, who asks */
export const onSignedOut = (listener) => { tellSignedOut = listener; };

/** @param {string} path @param {RequestInit} [options] @returns {Promise<Response>} */
async function send(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (options?.signal?.aborted) throw error;
    throw new Unreachable();
  }
  hearClock(answer);
  if (answer.ok || answer.status === 304) return answer;
  throw refusal(answer.status, await answer.text(), answer.headers.get("Retry-After"));
}

/** By how many milliseconds the server's clock is ahead of ours. */
let ahead = 0;
const SAME_CLOCK_MILLISECONDS = 2000; // the header has whole seconds, and was on its way

/** @param {Response} answer */
function hearClock(answer) {
  const difference = Date.parse(answer.headers.get("Date") ?? "") - Date.now();
  if (!Number.isNaN(difference)) ahead = Math.abs(difference) > SAME_CLOCK_MILLISECONDS ? difference : 0;
}

/** The time by the server's clock, which wrote every time that is shown; in milliseconds. */
export const now = () => Date.now() + ahead;

/** @param {string} path @param {RequestInit} [options] @returns {Promise<any>} */
const read = async (path, options) => (await send(path, options)).json();

/** @param {unknown} [body] @returns {RequestInit} */
const posted = (body) =>
  body === undefined
    ? { method: "POST" }
    : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };

/** @param {Record<string, string | number | boolean>} values those that are empty are left out */
function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== "");
  return new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
}

// what is asked again and again -----------------------------------------------------------

/** @typedef {{body: any, isNew: boolean, retryAfter: number | null}} Polled */

/** The last answers with their tags, by address; few, because a poll asks for one or two.
 * @type {Map<string, {tag: string, body: any}>} */
const answers = new Map();
const MOST_ANSWERS = 8;

/**
 * Ask for something once more. An answer that we have already is not sent again, and is given again:
 * what is shown may have come from elsewhere since.
 *
 * @param {string} path @param {AbortSignal} [signal]
 * @returns {Promise<Polled>}
 */
export async function poll(path, signal) {
  const known = answers.get(path);
  const answer = await send(path, {
    headers: known ? { "If-None-Match": known.tag } : {},
    cache: "no-store",
    ...(signal ? { signal } : {}),
  });
  const retryAfter = answer.headers.has("Retry-After") ? Number(answer.headers.get("Retry-After")) : null;
  if (known && answer.status === 304) return { body: known.body, isNew: false, retryAfter };
  const body = await answer.json();
  remember(path, answer.headers.get("ETag"), body);
  return { body, isNew: true, retryAfter };
}

/** @param {string} path @param {string | null} tag @param {any} body */
function remember(path, tag, body) {
  answers.delete(path);
  if (tag) answers.set(path, { tag, body });
  for (const oldest of [...answers.keys()].slice(0, -MOST_ANSWERS)) answers.delete(oldest);
}

/**
 * The address that answers how some documents stand, and with `filter` how their list does.
 *
 * @param {string[]} ids at most 100 @param {Filter | null} filter
 */
export const statuses = (ids, filter) =>
  `/documents?ids=${ids.join(",")}${filter ? `&${query({ summary: true, q: filter.q, collection: filter.collection })}` : ""}`;

// who asks --------------------------------------------------------------------------------

/** @param {AbortSignal} signal @returns {Promise<Who>} */
export const readSession = (signal) => read("/session", { signal });

/** @param {string} key a key or a token @returns {Promise<Who>} */
export const openSession = (key) => read("/session", posted({ key }));

export const closeSession = () => send("/session", { method: "DELETE" });

// documents -------------------------------------------------------------------------------

/** @param {Filter} filter @param {string} token @param {AbortSignal} [signal] @returns {Promise<DocumentPage>} */
export const listDocuments = (filter, token, signal) =>
  read(`/documents?${query({ ...filter, page_size: 100, page_token: token, summary: token === "" })}`, signal ? { signal } : {});

/** @returns {Promise<Collection[]>} */
export const listCollections = async () => (await read("/collections?page_size=200")).collections;

/** @param {string} id @returns {Promise<Details>} */
export const readDocument = (id) => read(`/documents/${id}`);

/** @param {string} id @returns {Promise<Job[]>} */
export const readJobs = async (id) => (await read(`/documents/${id}/jobs`)).jobs;

/** @param {string} id @param {{page: number} | {at: number}} place @param {AbortSignal} [signal] @returns {Promise<Leaf>} */
export const readLeaf = (id, place, signal) => read(`/documents/${id}/text?${query(place)}`, signal ? { signal } : {});

/** @param {string} id @param {"retry" | "cancel" | "reprocess"} what @returns {Promise<Status>} */
export const ask = (id, what) => read(`/documents/${id}/${what}`, posted());

/** @param {string} id */
export const remove = (id) => send(`/documents/${id}`, { method: "DELETE" });

// operators ------------------------------------------------------------------------------

/** Do something to the whole service. @param {string} path @param {unknown} body @returns {Promise<any>} */
export const operate = (path, body) => read(`/operator/${path}`, posted(body));

// the rest --------------------------------------------------------------------------------

/** @param {string} text @param {string} mode @param {string} collection @param {AbortSignal} signal @returns {Promise<Hit[]>} */
export async function search(text, mode, collection, signal) {
  const asked = { query: text, limit: 20, mode, ...(collection ? { collection } : {}) };
  return (await read("/search", { ...posted(asked), signal })).hits;
}

/** @returns {Promise<Limits>} */
export const limits = () => read("/limits");
