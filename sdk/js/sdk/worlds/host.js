// The host's functions as policies call them, and what is alike in every world.

import limits from 'tidegate:policy/limits@0.2.0';
import logging from 'tidegate:policy/log@0.2.0';
import metrics from 'tidegate:policy/metrics@0.2.0';

/** The whole numbers among the figures of a window. */
export const COUNTS = ['count', 'success', 'errors', 'limited', 'fromMs', 'toMs'];

/** Mends numbers without a sign that are so large that they arrive with one. */
export const unsigned = (record, names, range = 2 ** 64) => {
  for (const name of names) if (record[name] < 0) record[name] += range;
  return record;
};

/** @type {import('../contract').Host} */
const host = {
  window: (rangeMs) => unsigned(metrics.window(rangeMs), COUNTS),
  limit: (name) => limits.limit(name),
  log: (text, level = 'info') => logging.log(level, text),
};

/** Asks a policy; the host hears of an error only that there was one, so the log says which. */
export const ask = (judge, input) => {
  try {
    const verdict = judge(input, host);
    if (typeof verdict !== 'object' || verdict === null || verdict instanceof Promise) {
      throw new TypeError(`expected a verdict at once, not ${verdict instanceof Promise ? 'a promise' : verdict}`);
    }
    return verdict;
  } catch (error) {
    logging.log('warn', `${error}\n${error?.stack ?? ''}`);
    throw error;
  }
};

/** Hands the settings on to a policy that wants them; its refusal reaches people in its own words. */
export const settle = (configure, settings) => {
  if (configure === undefined) {
    if (settings.length > 0) throw `it takes no settings, and ${settings[0][0]} was set`;
    return;
  }
  try {
    configure(Object.fromEntries(settings.map(([name, { val }]) => [name, val])));
  } catch (error) {
    throw error instanceof Error ? error.message : `${error}`;
  }
};
