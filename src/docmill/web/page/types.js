/**
 * The shapes that the API answers with, for the type checker; nothing of this runs.
 *
 * @typedef {"parse" | "chunk" | "embed"} Stage
 * @typedef {"queued" | "processing" | "completed" | "failed" | "cancelled"} State
 * @typedef {{done: number, total: number | null, unit: string}} Count
 * @typedef {{code: string, title: string, detail: string, stage: Stage, attempt: number, retryable: boolean}} Failure
 * @typedef {{code: string, detail: string, page?: number}} Warning
 *
 * @typedef {Object} Status
 * @property {string} document_id
 * @property {string} filename
 * @property {number} size
 * @property {string | null} media_type
 * @property {string | null} collection
 * @property {State} status
 * @property {Stage | null} stage
 * @property {boolean} done
 * @property {number} version
 * @property {number} generation
 * @property {boolean} searchable
 * @property {{percent: number} & Record<Stage, Count>} progress
 * @property {number | null} queue_position
 * @property {number | null} eta_seconds
 * @property {number} attempt
 * @property {number} max_attempts
 * @property {string | null} next_attempt_at
 * @property {Failure | null} error
 * @property {Warning[]} warnings
 * @property {string} created_at
 * @property {string | null} started_at
 * @property {string | null} completed_at
 * @property {Partial<Record<Stage, {started_at: string, completed_at: string | null}>>} stages
 *
 * @typedef {Status & {external_id: string | null, metadata: Record<string, unknown>, sha256: string}} Details
 *
 * @typedef {{counts: Record<State, number>, live_workers: number, paused: Stage[]}} Summary
 * @typedef {{documents: Status[], next_page_token: string, summary?: Summary}} DocumentPage
 *
 * @typedef {Object} Filter
 * @property {string} q a part of the file name
 * @property {string} status states, separated by commas
 * @property {string} collection
 * @property {string} sort
 *
 * @typedef {Object} Attempt
 * @property {number} attempt
 * @property {string} worker
 * @property {string} started_at
 * @property {string | null} ended_at
 * @property {"succeeded" | "failed" | "lease_expired" | "released" | "cancelled" | null} outcome
 * @property {Failure | null} error
 *
 * @typedef {Object} Job
 * @property {number} id
 * @property {number} generation
 * @property {Stage} stage
 * @property {number} part
 * @property {{first: number, last: number} | null} span
 * @property {"queued" | "running" | "succeeded" | "failed" | "cancelled"} status
 * @property {number} done
 * @property {number | null} total
 * @property {string} run_at
 * @property {string} created_at
 * @property {string | null} finished_at
 * @property {Attempt[]} attempts
 *
 * @typedef {{chunk_id: string, ordinal: number, char_start: number, char_end: number, page_first: number, page_last: number, headings: string[]}} Passage
 *
 * @typedef {Object} Leaf a stretch of a document's text; places count characters, not UTF-16 units
 * @property {number | null} page
 * @property {number} pages
 * @property {number} characters
 * @property {number} char_start
 * @property {number} char_end
 * @property {string} text
 * @property {number | null} previous_at
 * @property {number | null} next_at
 * @property {Passage[]} chunks
 *
 * @typedef {Object} Hit
 * @property {string} document_id
 * @property {string} filename
 * @property {string} chunk_id
 * @property {string} text
 * @property {number} page_first
 * @property {number} page_last
 * @property {number} char_start
 * @property {number} char_end
 * @property {string[]} headings
 * @property {number} score
 * @property {{vector: number | null, text: number | null}} scores
 * @property {[number, number][]} matches
 *
 * @typedef {{max_upload_bytes: number, types: string[]}} Limits
 * @typedef {{name: string, documents: number}} Collection
 * @typedef {{authenticated: boolean, owner: string | null, name: string | null, scopes: string[], ways: string[]}} Who
 */

/**
 * @typedef {{stage: Stage, due: number, later: number, running: number, oldest_at: string | null, max_running: number | null, paused: boolean}} StageLoad
 * @typedef {{job_id: number, document_id: string, owner_id: string, stage: Stage, part: number, attempt: number, done: number, total: number | null, since: string}} Held
 * @typedef {{id: string, started_at: string, seen_at: string, state: "live" | "late" | "gone", idle: boolean, draining: boolean, slots: number, holds: Held[]}} WorkerSeen
 * @typedef {{state: "failed" | "waiting", code: string, stage: Stage, documents: number, owners: number, last_at: string}} Failing
 * @typedef {{at: string, operator: string, action: string, subject: string, details: Record<string, unknown>}} Act
 *
 * @typedef {Object} Overview the whole service
 * @property {StageLoad[]} stages
 * @property {WorkerSeen[]} workers
 * @property {Failing[]} failures
 * @property {{owner_id: string, waiting: number, running: number}[]} owners
 * @property {{name: string, failures: number, paused_until: string, code: string}[]} services
 * @property {Record<string, (string | number | null)[][]>} samples by subject, each row as `sample_columns` says
 * @property {string[]} sample_columns
 * @property {Act[]} actions
 * @property {boolean} may_act
 */

export {};
