// The retry policy for {{name}}: decides whether a failed call is repeated.
//
// Replace the codes with those of the platform. When this policy abstains, `retry/default` decides by the HTTP status. If
// the code does not say enough, add `export const readsBody = true`, and read the text of the platform's response with
// `host.body()` in `classify(failure, host)`.

import { abstain, giveUp, retry } from './sdk/retry.js';

/** @type {import('./sdk/contract').Classify} */
export function classify(failure) {
  switch (failure.code) {
    case '429001':
      return retry('throttled', { afterMs: failure.retryAfterMs ?? 2_000, reason: 'too many calls' });
    case '429002':
      return giveUp('quota', { reason: 'the daily quota is used up' });
    case '500001':
      return retry('transient', { reason: 'temporary failure of the platform' });
    // Retry once, so that the caller can refresh the token. If that is rejected too, the error is final.
    case '401001':
      return failure.attempt <= 1
        ? retry('auth', { reason: 'the token has expired' })
        : giveUp('auth', { reason: 'a fresh token was rejected too' });
    case '400001':
    case '400002':
      return giveUp('permanent', { reason: 'the request is invalid' });
    default:
      return abstain();
  }
}
