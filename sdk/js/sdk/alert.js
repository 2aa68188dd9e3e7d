// The verdicts of an alert condition.

/**
 * The condition holds; the words stand in the message to people.
 *
 * @param {string} [detail]
 * @returns {import('./contract').AlertVerdict}
 */
export const firing = (detail) => ({ tag: 'firing', val: detail ?? null });

/**
 * The condition does not hold.
 *
 * @returns {import('./contract').AlertVerdict}
 */
export const quiet = () => ({ tag: 'quiet' });
