/** Sending a file until the server has it for good: by tus where there is `/uploads`, else by a form. */

import { sendByForm } from "./send-form.js";
import { sendByTus, tusOf } from "./send-tus.js";

/**
 * @typedef {Object} Source what is sent
 * @property {File} file
 * @property {string} path where it lay below the folder that was chosen; empty for a file alone
 * @property {string} collection a name, or empty
 * @property {string | null} url where the server keeps what it has of it, if it was begun before
 *
 * @typedef {Object} Hooks
 * @property {(sent: number) => void} onProgress bytes that left; those the server has, at each begin
 * @property {(url: string | null) => void} onUrl where it can be continued, as soon as that is known
 * @property {(trouble: "offline" | "server" | null) => void} onTrouble why it waits; null: it goes on
 * @property {AbortSignal} signal
 */

/** @type {ReturnType<typeof tusOf> | null} */
let asked = null;

/**
 * Send a file. Trouble that passes is waited out; what the server acknowledged is not sent again.
 *
 * @param {Source} source @param {Hooks} hooks
 * @returns {Promise<string>} the document's id: its bytes are committed
 * @throws `Refused`: the server does not take it
 */
export async function send(source, hooks) {
  asked ??= tusOf();
  const tus = await asked;
  return tus ? sendByTus(source, hooks, tus) : sendByForm(source, hooks);
}
