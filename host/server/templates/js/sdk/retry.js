// Constructors of the verdicts of a retry policy.

/**
 * Advises the host to call again after at least `afterMs` milliseconds. Without `afterMs` the host uses its own backoff
 * delay.
 *
 * @param {import('./contract').Class} failureClass
 * @param {{ afterMs?: number, reason?: string }} [options]
 * @returns {import('./contract').RetryVerdict}
 */
export const retry = (failureClass, options) => ({ action: 'retry', class: failureClass, ...options });

/**
 * Advises the host not to call again.
 *
 * @param {import('./contract').Class} failureClass
 * @param {{ afterMs?: number, reason?: string }} [options]
 * @returns {import('./contract').RetryVerdict}
 */
export const giveUp = (failureClass, options) => ({ action: 'give-up', class: failureClass, ...options });

/**
 * Leaves the decision to `retry/default`, then to the host's built-in fallback.
 *
 * @param {string} [reason]
 * @returns {import('./contract').RetryVerdict}
 */
export const abstain = (reason) => ({ action: 'default', reason });

/**
 * Returns the value of a header, or an empty string if the header is absent. The name must be in lower case.
 *
 * @param {{ headers: [string, string][] }} input
 * @param {string} name
 */
export const header = ({ headers }, name) => headers.find(([key]) => key === name)?.[1] ?? '';
