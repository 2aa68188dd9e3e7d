// The verdicts of a retry classifier.

/**
 * Advice to call again, after `afterMs` at least; without it the host waits by its backoff.
 *
 * @param {import('./contract').Class} kind
 * @param {{ afterMs?: number, reason?: string }} [more]
 * @returns {import('./contract').RetryVerdict}
 */
export const retry = (kind, more) => ({ action: 'retry', class: kind, ...more });

/**
 * Advice to stop.
 *
 * @param {import('./contract').Class} kind
 * @param {{ afterMs?: number, reason?: string }} [more]
 * @returns {import('./contract').RetryVerdict}
 */
export const giveUp = (kind, more) => ({ action: 'give-up', class: kind, ...more });

/**
 * No opinion: `retry/default` decides, then the host's fallback.
 *
 * @param {string} [reason]
 * @returns {import('./contract').RetryVerdict}
 */
export const abstain = (reason) => ({ action: 'default', reason });

/**
 * The header of that name, in lower case; an empty text where it is absent.
 *
 * @param {{ headers: [string, string][] }} input
 * @param {string} name
 */
export const header = ({ headers }, name) => headers.find(([key]) => key === name)?.[1] ?? '';
