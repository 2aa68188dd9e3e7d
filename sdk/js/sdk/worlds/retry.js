// The world `retry` around policy.js.

import * as policy from '../../policy.js';
import { ask, settle, unsigned } from './host.js';

const TIMES = ['elapsedMs', 'atMs', 'retryAfterMs'];

export const configure = (settings) => settle(policy.configure, settings);
export const classify = (failure) => ask(judge, unsigned(unsigned(failure, TIMES), ['attempt'], 2 ** 32));

/** A wait is a whole number of milliseconds on the way to the host, and what is no number would be none at all. */
function judge(failure, host) {
  const verdict = policy.classify(failure, host);
  const wait = verdict?.afterMs ?? 0;
  if (Number.isSafeInteger(wait) && wait >= 0) return verdict;
  if (wait > 0 && wait < Infinity) {
    return { ...verdict, afterMs: Math.min(Math.ceil(wait), Number.MAX_SAFE_INTEGER) };
  }
  throw new RangeError(`afterMs: expected milliseconds, 0 or more, not ${wait}`);
}
