/** Files come in from anywhere on the page: dropped, pasted, or from the buttons of the zone. */

/** @import {Candidate} from "./choosing.js" */

import { toast } from "./announce.js";
import { fromDrop, fromFiles, sifted } from "./choosing.js";
import { t } from "./language.js";
import { session } from "./session.js";
import { uploads } from "./uploads.js";

/** The collection that files go to which come next; empty for none. */
let collection = "";

/** @param {string} name */
export function into(name) {
  collection = name.trim();
}

/** @param {(Candidate | null)[]} found null for what could not be opened */
export async function take(found) {
  if (!session.may("upload")) return toast(t(session.who ? "zone.readOnly" : "problems.NOT_AUTHENTICATED"), "bad");
  const { meant, hidden, unreadable } = sifted(found);
  if (hidden) toast(t("zone.hidden", { count: hidden }));
  if (unreadable) toast(t("zone.unreadable", { count: unreadable }), "bad");
  await uploads.add(meant, collection);
}

/** Listen on the whole page: a file that misses the zone must not replace the page.
 * @param {() => void} onTaken called before files are taken, to show where they go */
export function open(onTaken) {
  let depth = 0;
  const over = (/** @type {number} */ by) => {
    depth = Math.max(0, depth + by);
    document.body.classList.toggle("dropping", depth > 0);
  };
  listen("dragenter", () => over(1));
  listen("dragleave", () => over(-1));
  listen("dragover", (event) => event.preventDefault());
  listen("drop", (event) => {
    event.preventDefault();
    over(-Infinity);
    onTaken();
    if (event.dataTransfer) void fromDrop(event.dataTransfer).then(take);
  });
  window.addEventListener("paste", (event) => {
    const files = fromFiles(event.clipboardData?.files);
    if (files.length === 0 || isWriting(event.target)) return;
    onTaken();
    void take(files);
  });
}

/** @param {"dragenter" | "dragleave" | "dragover" | "drop"} name @param {(event: DragEvent) => void} act */
const listen = (name, act) =>
  window.addEventListener(name, (event) => {
    if (event.dataTransfer?.types.includes("Files")) act(event);
  });

/** @param {EventTarget | null} target */
const isWriting = (target) => target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement;
