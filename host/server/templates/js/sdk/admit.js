// Constructors of the verdicts of an admission policy.

export { header } from './retry.js';

/**
 * Allows the request at a cost, a whole number from 1 to 2147483647. The platform's limit charges the cost, and so does
 * each limit that the labels in `scope` select.
 *
 * @param {number} [cost]
 * @param {Record<string, string>} [scope]
 * @returns {import('./contract').Admission}
 */
export const allow = (cost = 1, scope = {}) => ({ tag: 'allow', val: { cost, scope: Object.entries(scope) } });

/**
 * Denies the request. The caller receives the HTTP status, which is from 400 to 599.
 *
 * @param {string} reason
 * @param {number} [status]
 * @returns {import('./contract').Admission}
 */
export const deny = (reason, status = 403) => ({ tag: 'deny', val: { reason, status } });

/**
 * Leaves the decision to `admit/default`. If that policy does not decide either, the request costs 1 at the platform's
 * limit.
 *
 * @returns {import('./contract').Admission}
 */
export const abstain = () => ({ tag: 'default' });

/**
 * Returns the value of a label, or an empty string if the request does not have the label.
 *
 * @param {import('./contract').Request} request
 * @param {string} name
 */
export const label = ({ labels }, name) => labels.find(([key]) => key === name)?.[1] ?? '';
