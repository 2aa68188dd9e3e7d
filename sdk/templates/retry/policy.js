// What a failed call to {{name}} is worth.
//
// Replace the codes by the platform's own. Its HTTP status is judged by `retry/default` where this abstains.

import { abstain, giveUp, retry } from './sdk/retry.js';

/** @type {import('./sdk/contract').Classify} */
export function classify(failure) {
  switch (failure.code) {
    case '429001':
      return retry('throttled', { afterMs: failure.retryAfterMs ?? 2_000, reason: 'called too often' });
    case '429002':
      return giveUp('quota', { reason: "the day's calls are used up" });
    case '500001':
      return retry('transient', { reason: "the platform's own trouble" });
    // Once, so that the caller can refresh the token; the same answer to a fresh one is final.
    case '401001':
      return failure.attempt <= 1
        ? retry('auth', { reason: 'the token has expired' })
        : giveUp('auth', { reason: 'a fresh token is refused too' });
    case '400001':
    case '400002':
      return giveUp('permanent', { reason: 'the request itself is refused' });
    default:
      return abstain();
  }
}
