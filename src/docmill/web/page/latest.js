/**
 * Work that newer work overtakes, for what is asked while somebody types: one request at a time, and
 * of those that came meanwhile only the last. No timer waits for a pause in the typing: the server's
 * own pace is the brake.
 */
export class Latest {
  /** @type {(() => Promise<void>) | null} */
  #next = null;
  #isRunning = false;

  /** @param {() => Promise<void>} work never rejects */
  run(work) {
    this.#next = work;
    if (!this.#isRunning) void this.#drain();
  }

  async #drain() {
    this.#isRunning = true;
    while (this.#next) {
      const work = this.#next;
      this.#next = null;
      await work();
    }
    this.#isRunning = false;
  }
}
