/**
 * One question to the server at a time, asked again and again: how does what is visible stand?
 *
 * The view says what to ask and shows the answer. Here is decided when: as the server says, at once
 * when the page comes back, less and less often while the server is away, never while nobody looks.
 */

import { Refused, SignedOut, Unreachable } from "./api.js";
import { pause } from "./pause.js";

const IDLE_SECONDS = 15;
// A server that is away is looked for as often, whoever waits.
const LONGEST_PAUSE_SECONDS = 5;
// While something changes from answer to answer, the next change is near.
const AFTER_CHANGE_SECONDS = 0.4;

/**
 * @typedef {Object} Answered
 * @property {boolean} changed whether the answer said something new
 * @property {number | null} retryAfter when to ask again, in seconds; null where nothing is on its way
 *
 * @typedef {(signal: AbortSignal) => Promise<Answered>} Ask
 */

/** Events: `lost` and `found` (whether the server can be reached); `refused` (detail: the refusal);
 * `answered`, after each answer or failure. */
export class Poll extends EventTarget {
  /** @type {Ask | null} */
  #ask = null;
  /** @type {Ask | null} what must be known before anything else is asked */
  #first = null;
  #failures = 0;
  #running = false;
  #again = false;
  #asking = new AbortController();
  /** Whether to go on asking, seldom, while the page is hidden: somebody wants to be told. */
  alsoHidden = false;

  constructor() {
    super();
    for (const [target, name] of /** @type {[EventTarget, string][]} */ ([
      [window, "online"], [window, "pageshow"], [document, "visibilitychange"],
    ])) {
      target.addEventListener(name, () => this.now());
    }
  }

  /** Ask this from now on, beginning at once. @param {Ask | null} ask */
  watch(ask) {
    this.#ask = ask;
    this.#asking.abort();
    this.now();
  }

  /** Ask this and nothing else, until `release`. @param {Ask} first */
  hold(first) {
    this.#first = first;
    this.now();
  }

  /** Go on with what was asked before: it can be answered again. */
  release() {
    this.#first = null;
    this.dispatchEvent(new Event("found"));
    this.now();
  }

  /** Ask at once; while an answer is on its way, once more behind it. */
  now() {
    this.#again = true;
    this.dispatchEvent(new Event("now"));
    if (!this.#running) void this.#run();
  }

  async #run() {
    this.#running = true;
    try {
      for (let ask = this.#next; ask && (this.alsoHidden || !document.hidden); ask = this.#next) {
        this.#again = false;
        this.#asking = new AbortController();
        const seconds = await this.#once(ask, this.#asking.signal);
        if (this.#again) continue;
        await pause(document.hidden ? IDLE_SECONDS : seconds, { until: [[this, "now"]] });
      }
    } finally {
      this.#running = false;
    }
  }

  get #next() {
    return this.#first ?? this.#ask;
  }

  /** @param {Ask} ask @param {AbortSignal} signal @returns {Promise<number>} when to ask again */
  async #once(ask, signal) {
    try {
      const { changed, retryAfter } = await ask(signal);
      this.#tell(0);
      if (retryAfter === null) return IDLE_SECONDS;
      return changed ? Math.min(AFTER_CHANGE_SECONDS, retryAfter) : retryAfter;
    } catch (error) {
      if (signal.aborted) return 0;
      if (error instanceof SignedOut) return IDLE_SECONDS; // whoever is told of it holds us
      if (error instanceof Refused) return this.#refuse(error);
      if (!(error instanceof Unreachable)) throw error;
      this.#tell(this.#failures + 1);
      return error.retryAfter ?? Math.min(LONGEST_PAUSE_SECONDS, 2 ** (this.#failures - 1));
    }
  }

  /** @param {Refused} refused */
  #refuse(refused) {
    this.#tell(0);
    this.dispatchEvent(new CustomEvent("refused", { detail: refused }));
    return IDLE_SECONDS;
  }

  /** @param {number} failures */
  #tell(failures) {
    const before = this.#failures;
    this.#failures = failures;
    if ((before > 0) !== (failures > 0)) this.dispatchEvent(new Event(failures ? "lost" : "found"));
    this.dispatchEvent(new Event("answered"));
  }
}

/** The page's one poll. */
export const poll = new Poll();
