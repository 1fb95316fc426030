/**
 * Who uses the page. The server knows it by a cookie that no script can read; here is what it says.
 *
 * A session may end while the page is open: it lasts for some hours, and ends with its key. Then
 * nothing but this is asked until somebody has signed in, and what was on its way goes on.
 */

/** @import {Who} from "./types.js" */

import * as api from "./api.js";
import { poll } from "./poll.js";

/** Events: `open` (the server knows who asks, for the first time or again); `closed` (it does not);
 * `left` (nothing that is known here is for whoever comes next). */
class Session extends EventTarget {
  /** @type {Who | null} who was known last, also while the session is closed */
  who = null;
  isOpen = false;
  /** @type {string[]} what can be shown to sign in: `keys`, `jwt`; or `none`, where nobody has to */
  ways = [];
  /** Other pages of this browser have the same cookie. */
  #others = new BroadcastChannel("docmill.session");

  /** Find out who asks, as soon as the server can be reached. */
  open() {
    api.onSignedOut(() => this.#doubt());
    this.#others.onmessage = ({ data }) => (data === "left" ? this.#leave() : this.#doubt());
    this.#doubt();
  }

  /** Whether there is anybody to tell apart. */
  get isGuarded() {
    return !this.ways.includes("none");
  }

  /** @param {"read" | "upload" | "admin"} scope */
  may(scope) {
    return this.who?.scopes.includes(scope) ?? false;
  }

  /** @param {string} key a key or a token @throws `SignedOut`: it is good for nothing here */
  async signIn(key) {
    this.#take(await api.openSession(key));
    this.#others.postMessage("changed");
  }

  async signOut() {
    await api.closeSession();
    this.#others.postMessage("left");
    this.#leave();
  }

  #doubt() {
    poll.hold(async (signal) => {
      this.#take(await api.readSession(signal));
      return { changed: false, retryAfter: null };
    });
  }

  /** @param {Who} seen */
  #take(seen) {
    this.ways = seen.ways;
    if (!seen.authenticated) return this.#close();
    if (this.who && this.who.owner !== seen.owner) return this.#leave();
    this.who = seen;
    this.isOpen = true;
    poll.release(); // before a view begins, which would take it for an outage that has ended
    this.dispatchEvent(new Event("open"));
  }

  #close() {
    this.isOpen = false;
    this.dispatchEvent(new Event("closed"));
  }

  #leave() {
    this.dispatchEvent(new Event("left"));
  }
}

export const session = new Session();
