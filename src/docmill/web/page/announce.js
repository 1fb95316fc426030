/**
 * Telling people what happened: one polite live region for screen readers, toasts for eyes, and a
 * notification for who asked for it. None of them is the only place where something is said.
 */

import { byId, element, say } from "./element.js";
import { t } from "./language.js";
import { pause } from "./pause.js";
import * as preferences from "./preferences.js";

const SECONDS_BETWEEN = 2;

/** @type {string[]} */
let waiting = [];
let isSpeaking = false;

/** Say something to screen readers; what comes while they read is said together, after a moment.
 * @param {string} sentence */
export function announce(sentence) {
  waiting.push(sentence);
  if (!isSpeaking) void speak();
}

async function speak() {
  isSpeaking = true;
  while (waiting.length) {
    const many = waiting.length > 3;
    const sentences = many ? [...waiting.slice(0, 2), t("said.more", { count: waiting.length - 2 })] : waiting;
    say(byId("announcements"), sentences.join(" "));
    waiting = [];
    await pause(SECONDS_BETWEEN);
  }
  isSpeaking = false;
}

/** Show a sentence for a while; the style fades it out. @param {string} sentence @param {"good" | "bad"} kind */
export function toast(sentence, kind = "good") {
  const shown = element("div", { class: "toast", "data-kind": kind, "aria-hidden": "true" }, sentence);
  shown.addEventListener("animationend", () => shown.remove());
  byId("toasts").append(shown);
  announce(sentence);
}

/** Whether the reader wants a notification when everything has ended. */
export const wantsNotice = () =>
  preferences.chosen("notice") === "yes" && "Notification" in window && Notification.permission === "granted";

/** Ask the browser for leave to notify. @param {boolean} wanted @returns {Promise<boolean>} whether it will */
export async function chooseNotice(wanted) {
  if (wanted && "Notification" in window) await Notification.requestPermission();
  preferences.choose("notice", wanted ? "yes" : "no");
  return wantsNotice();
}

/** Tell somebody who looks elsewhere. @param {string} sentence */
export function notify(sentence) {
  if (document.hidden && wantsNotice()) new Notification("docmill", { body: sentence });
}
