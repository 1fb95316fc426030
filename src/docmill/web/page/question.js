/** A question before something is lost. */

import { element } from "./element.js";
import { t } from "./language.js";

/**
 * Ask, in a dialog that the keyboard can answer and leave.
 *
 * @param {{title: string, body: string, action: string, keep?: string}} asked `action` and `keep` are what the
 *   buttons say; where nothing is lost, `keep` says so
 * @returns {Promise<boolean>}
 */
export function confirmed({ title, body, action, keep }) {
  const dialog = element("dialog", { class: "question", "aria-labelledby": "question-title", "aria-describedby": "question-body" },
    element("h2", { id: "question-title" }, title),
    element("p", { id: "question-body" }, body),
    element("div", { class: "buttons" },
      element("button", { type: "button", autofocus: true, onclick: () => dialog.close("no") }, keep ?? t("question.keep")),
      element("button", { type: "button", class: keep ? "primary" : "danger", onclick: () => dialog.close("yes") }, action)));
  document.body.append(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    dialog.showModal();
  });
}
