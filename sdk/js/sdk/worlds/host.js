// The host functions that policies call, and helpers that all worlds share.

import limits from 'tidegate:policy/limits@0.3.0';
import logging from 'tidegate:policy/log@0.3.0';
import metrics from 'tidegate:policy/metrics@0.3.0';

/** The statistics that are unsigned 64-bit integers. */
export const WHOLE_NUMBERS = ['count', 'success', 'errors', 'limited', 'fromMs', 'toMs'];

/** Corrects large unsigned integers, which arrive as negative numbers. */
export const toUnsigned = (record, names, range = 2 ** 64) => {
  for (const name of names) if (record[name] < 0) record[name] += range;
  return record;
};

/** @type {import('../contract').Host} */
export const host = {
  window: (rangeMs) => toUnsigned(metrics.window(rangeMs), WHOLE_NUMBERS),
  limit: (name) => limits.limit(name),
  log: (text, level = 'info') => logging.log(level, text),
};

/**
 * Calls a policy function. The host does not receive the text of an error, so the error is also written to the host's log.
 */
export const callPolicy = (decide, input, functions = host) => {
  try {
    const verdict = decide(input, functions);
    if (typeof verdict !== 'object' || verdict === null || verdict instanceof Promise) {
      throw new TypeError(`expected a verdict, not ${verdict instanceof Promise ? 'a promise' : verdict}`);
    }
    return verdict;
  } catch (error) {
    logging.log('warn', `${error}\n${error?.stack ?? ''}`);
    throw error;
  }
};

/** Passes the settings to the policy's `configure`. An error that it throws becomes the message of the rejection. */
export const applySettings = (configure, settings) => {
  if (configure === undefined) {
    if (settings.length > 0) throw `the policy accepts no settings, but \`${settings[0][0]}\` is set`;
    return;
  }
  try {
    configure(Object.fromEntries(settings.map(([name, { val }]) => [name, val])));
  } catch (error) {
    throw error instanceof Error ? error.message : `${error}`;
  }
};
