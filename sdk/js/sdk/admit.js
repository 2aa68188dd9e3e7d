// The verdicts of an admission policy.

export { header } from './retry.js';

/**
 * It goes, at a cost (a whole number, 1 to 2147483647), through the platform's limit and those that the labels of `scope` pick.
 *
 * @param {number} [cost]
 * @param {Record<string, string>} [scope]
 * @returns {import('./contract').Admission}
 */
export const allow = (cost = 1, scope = {}) => ({ tag: 'allow', val: { cost, scope: Object.entries(scope) } });

/**
 * It does not go; the status, 400 to 599, is the caller's answer.
 *
 * @param {string} reason
 * @param {number} [status]
 * @returns {import('./contract').Admission}
 */
export const deny = (reason, status = 403) => ({ tag: 'deny', val: { reason, status } });

/**
 * No opinion: `admit/default` decides, then the platform's limit at cost 1.
 *
 * @returns {import('./contract').Admission}
 */
export const abstain = () => ({ tag: 'default' });

/**
 * The label of that name; an empty text where the request has none.
 *
 * @param {import('./contract').Request} request
 * @param {string} name
 */
export const label = ({ labels }, name) => labels.find(([key]) => key === name)?.[1] ?? '';
