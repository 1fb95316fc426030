/** Where a person chooses files, and reads before choosing what is taken. */

/** @import {Collection, Limits} from "./types.js" */

import { fromFiles } from "./choosing.js";
import { element, say } from "./element.js";
import { icon } from "./icons.js";
import * as intake from "./intake.js";
import { bytes, list, t } from "./language.js";
import { session } from "./session.js";

const SAMPLE = "how-docmill-works.pdf";

export class UploadZone extends HTMLElement {
  #files = picker({ id: "files", multiple: true });
  #folder = picker({ id: "folder", webkitdirectory: true });
  #collections = element("datalist", { id: "collection-names" });
  #collection = element("input", {
    id: "collection", type: "text", maxlength: 200, list: "collection-names", autocomplete: "off",
    oninput: () => intake.into(this.#collection.value),
  });
  #limits = element("p", { class: "limits" });
  #welcome = element("p", { class: "welcome" });
  #sample = element("button", { type: "button", id: "sample", onclick: () => void sendSample() });

  connectedCallback() {
    this.id = "drop";
    if (!session.may("upload")) return this.replaceChildren(element("p", { class: "limits" }, t("zone.readOnly")));
    this.#collection.placeholder = t("zone.noCollection");
    this.#sample.replaceChildren(t("zone.sample"));
    this.replaceChildren(
      element("div", { class: "words" }, this.#welcome, element("p", { class: "drop-here" }, t("zone.drop")), this.#limits),
      element("div", { class: "buttons" },
        element("button", { type: "button", class: "primary", onclick: () => this.choose() }, icon("upload"), t("zone.files")),
        element("button", { type: "button", onclick: () => this.#folder.click() }, icon("folder"), t("zone.folder")),
        this.#sample),
      element("label", { class: "into" }, element("span", {}, t("zone.collection")), this.#collection),
      this.#files, this.#folder, this.#collections);
  }

  /** Open the browser's own dialog. */
  choose() {
    this.#files.click();
  }

  /** Say what will happen, as long as there is nothing else to see. @param {boolean} isEmpty */
  welcome(isEmpty) {
    this.classList.toggle("first", isEmpty);
    say(this.#welcome, isEmpty ? t("zone.welcome") : "");
    this.#sample.hidden = !isEmpty;
  }

  /** @param {Limits} limits */
  say({ types, max_upload_bytes }) {
    const spoken = types.map((name) => t(`type.${name.replaceAll(" ", "-")}`));
    say(this.#limits, t("zone.limits", { types: list(spoken), limit: bytes(max_upload_bytes) }));
  }

  /** @param {Collection[]} collections @param {string} chosen */
  offer(collections, chosen) {
    this.#collections.replaceChildren(...collections.map(({ name }) => element("option", { value: name })));
    if (!chosen) return;
    this.#collection.value = chosen;
    intake.into(chosen);
  }
}

/** The browser's own dialog; a button opens it. @param {Record<string, string | boolean>} attributes */
function picker(attributes) {
  const input = element("input", { type: "file", class: "visually-hidden", tabindex: -1, "aria-hidden": "true", ...attributes });
  input.addEventListener("change", () => {
    void intake.take(fromFiles(input.files));
    input.value = ""; // the same file may be chosen again
  });
  return input;
}

/** Upload the sample as any other file. */
async function sendSample() {
  const answer = await fetch(new URL(`./${SAMPLE}`, import.meta.url));
  const file = new File([await answer.blob()], SAMPLE, { type: "application/pdf" });
  await intake.take([{ file, path: "", handle: null }]);
}

customElements.define("upload-zone", UploadZone);
