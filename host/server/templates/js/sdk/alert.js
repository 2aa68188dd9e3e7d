// Constructors of the verdicts of an alert condition.

/**
 * Reports that the condition holds. The notification contains `detail`.
 *
 * @param {string} [detail]
 * @returns {import('./contract').AlertVerdict}
 */
export const firing = (detail) => ({ tag: 'firing', val: detail ?? null });

/**
 * Reports that the condition does not hold.
 *
 * @returns {import('./contract').AlertVerdict}
 */
export const quiet = () => ({ tag: 'quiet' });
