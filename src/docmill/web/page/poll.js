/**
 * Asking the server how the unfinished documents stand: one request for all of them. The timer here
 * decides when to ask, and nothing else; what is shown is what the answer says.
 */

/** @import {Status} from "./types.js" */

import { readStatuses, Unreachable } from "./api.js";

const IDS_AT_ONCE = 100;
const LONGEST_PAUSE_SECONDS = 15;
// While something changes from answer to answer, the next change is near.
const PAUSE_AFTER_CHANGE_SECONDS = 0.4;

export class Poll {
  #tag = "";
  #asked = "";
  #failures = 0;
  #running = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /**
   * @param {() => string[]} unfinished the ids to ask about, newest first
   * @param {(documents: Status[], asked: string[]) => void} onAnswer
   * @param {(reachable: boolean) => void} onReachable
   */
  constructor(unfinished, onAnswer, onReachable) {
    this.unfinished = unfinished;
    this.onAnswer = onAnswer;
    this.onReachable = onReachable;
    for (const [target, name] of /** @type {[EventTarget, string][]} */ ([
      [window, "online"], [window, "pageshow"], [document, "visibilitychange"],
    ])) {
      target.addEventListener(name, () => this.now());
    }
  }

  /** Ask at once, and go on asking as long as something is unfinished. */
  now() {
    clearTimeout(this.#timer);
    if (!this.#running) void this.#ask();
  }

  async #ask() {
    const ids = this.unfinished().slice(0, IDS_AT_ONCE);
    if (document.hidden || (ids.length === 0 && this.#failures === 0)) return;
    this.#running = true;
    const pause = await this.#askFor(ids);
    this.#running = false;
    this.#timer = setTimeout(() => this.now(), pause * 1000);
  }

  /** @param {string[]} ids @returns {Promise<number>} when to ask again, in seconds */
  async #askFor(ids) {
    const asked = ids.join();
    try {
      const answer = await readStatuses(ids, asked === this.#asked ? this.#tag : "");
      this.#asked = asked;
      this.#tag = answer.tag;
      if (answer.documents) this.onAnswer(answer.documents, ids);
      if (this.#failures > 0) this.onReachable(true);
      this.#failures = 0;
      return answer.documents ? Math.min(PAUSE_AFTER_CHANGE_SECONDS, answer.retryAfter) : answer.retryAfter;
    } catch (error) {
      if (!(error instanceof Unreachable)) throw error;
      this.#failures += 1;
      this.onReachable(false);
      return Math.min(LONGEST_PAUSE_SECONDS, 2 ** (this.#failures - 1));
    }
  }
}
