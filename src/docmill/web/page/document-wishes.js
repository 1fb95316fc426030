/** What the list and the view of one document do alike. */

/** @import {Status} from "./types.js" */

import { toast } from "./announce.js";
import * as api from "./api.js";
import { element } from "./element.js";
import { t } from "./language.js";
import { confirmed } from "./question.js";
import { session } from "./session.js";

/** Of what may be wished of a document, what whoever asks may wish.
 * @template {string} Wish @param {Wish[]} wishes */
export const allowed = (wishes) => (session.may("upload") ? wishes : wishes.filter((wish) => wish === "download"));

/** Delete a document, if that is really meant. @param {Status} status @returns {Promise<boolean>} whether it is gone */
export async function remove(status) {
  const asked = {
    title: t("question.delete", { name: status.filename }),
    body: t(status.done ? "question.deleteBody" : "question.deleteWorking"),
    action: t("wish.delete"),
  };
  if (!(await confirmed(asked))) return false;
  await api.remove(status.document_id);
  toast(t("said.deleted", { name: status.filename }));
  return true;
}

/** Let the browser save the original. @param {string} id */
export function download(id) {
  element("a", { href: `/documents/${id}/content`, download: "" }).click();
}
