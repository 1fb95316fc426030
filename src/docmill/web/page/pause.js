/**
 * The page's only timer. It says when to ask or to send again, and nothing else: what a person sees
 * is decided by what the server answered, never by time that passed here.
 */

/**
 * Wait, or less: until the signal is aborted or one of the events happens.
 *
 * @param {number} seconds
 * @param {{signal?: AbortSignal | undefined, until?: [EventTarget, string][]}} [sooner]
 * @returns {Promise<void>}
 */
export function pause(seconds, { signal, until = [] } = {}) {
  return new Promise((resolve) => {
    const ended = new AbortController();
    const end = () => {
      clearTimeout(timer);
      ended.abort();
      resolve();
    };
    const timer = setTimeout(end, seconds * 1000);
    if (signal?.aborted) return end();
    signal?.addEventListener("abort", end, { signal: ended.signal });
    for (const [target, name] of until) target.addEventListener(name, end, { signal: ended.signal });
  });
}
