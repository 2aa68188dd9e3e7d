// Calls the function `classify` of policy.js, for both worlds of retry policies.

import * as policy from '../../policy.js';
import { callPolicy, toUnsigned } from './host.js';

const TIMES = ['elapsedMs', 'atMs', 'retryAfterMs'];

/**
 * Returns the verdict of the policy on a failure.
 *
 * @param {import('../contract').RetryHost} host
 */
export const classifyWith = (host, failure) =>
  callPolicy(classifyChecked, toUnsigned(toUnsigned(failure, TIMES), ['attempt'], 2 ** 32), host);

/** Calls the policy and rounds its delay up to whole milliseconds. The host would ignore a delay that is not a number. */
function classifyChecked(failure, host) {
  const verdict = policy.classify(failure, host);
  const afterMs = verdict?.afterMs ?? 0;
  if (Number.isSafeInteger(afterMs) && afterMs >= 0) return verdict;
  if (afterMs > 0 && afterMs < Infinity) {
    return { ...verdict, afterMs: Math.min(Math.ceil(afterMs), Number.MAX_SAFE_INTEGER) };
  }
  throw new RangeError(`afterMs: expected a number of milliseconds, 0 or more, not ${afterMs}`);
}
