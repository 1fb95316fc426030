/**
 * The shapes that the API answers with, for the type checker; nothing of this runs.
 *
 * @typedef {{done: number, total: number | null, unit: string}} Count
 * @typedef {{code: string, title: string, detail: string, stage: string, attempt: number, retryable: boolean}} DocumentError
 * @typedef {{code: string, detail: string, page?: number}} Warning
 * @typedef {Object} Status
 * @property {string} document_id
 * @property {string} filename
 * @property {number} size
 * @property {"queued" | "processing" | "completed" | "failed" | "cancelled"} status
 * @property {"parse" | "chunk" | "embed" | null} stage
 * @property {boolean} done
 * @property {number} version
 * @property {{percent: number, parse: Count, chunk: Count, embed: Count}} progress
 * @property {number | null} queue_position
 * @property {number | null} eta_seconds
 * @property {number} attempt
 * @property {number} max_attempts
 * @property {string | null} next_attempt_at
 * @property {DocumentError | null} error
 * @property {Warning[]} warnings
 * @property {string} created_at
 *
 * @typedef {Object} Hit
 * @property {string} document_id
 * @property {string} filename
 * @property {string} text
 * @property {number} page_first
 * @property {number} page_last
 */

export {};
