/** Which failures of a request pass by themselves, and for how long to leave the server alone. */

import { SignedOut, Unreachable } from "./api.js";
import { pause } from "./pause.js";
import { poll } from "./poll.js";

const FIRST_PAUSE_SECONDS = 0.5;
const LONGEST_PAUSE_SECONDS = 15;
// A person who is to sign in takes their time. That they have ends the wait.
const UNTIL_SIGNED_IN_SECONDS = 86_400;

/** Trouble that passes: the network, the server, another request that holds the upload, a session's end. */
export class Passing extends Error {
  /** @param {"offline" | "server" | "session"} kind @param {number} [retryAfter] in seconds */
  constructor(kind, retryAfter) {
    super(kind);
    this.kind = kind;
    this.retryAfter = retryAfter;
  }
}

/** @param {number} [retryAfter] */
export const passing = (retryAfter) => new Passing(navigator.onLine ? "server" : "offline", retryAfter);

/** Trouble that passes, or null where a person must do something. @param {unknown} error */
export function asPassing(error) {
  if (error instanceof Passing) return error;
  if (error instanceof SignedOut) return new Passing("session", UNTIL_SIGNED_IN_SECONDS);
  return error instanceof Unreachable ? passing(error.retryAfter) : null;
}

/**
 * Wait before the next try: longer each time, but not when the network or the server comes back.
 *
 * @param {Passing} trouble @param {number} failures in a row @param {AbortSignal} signal
 */
export function beforeNextTry(trouble, failures, signal) {
  const seconds = trouble.retryAfter ?? Math.min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (failures - 1));
  return pause(seconds, { signal, until: [[window, "online"], [poll, "found"]] });
}
