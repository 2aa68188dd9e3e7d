// The retry policy for Pinduoduo in JavaScript. policies/retry/pdd.rhai is the same policy in Rhai and policies/guests/pdd
// in Rust. All must pass the same test cases.
//
// `retry/default` decides on failures without a code from the platform's table, for example a timeout, a gateway's 502,
// or a code that was published later.

import { abstain, giveUp, retry } from './sdk/retry.js';

/** The length of the shortest rate-limit window of the platform. */
const SHORTEST_WINDOW_MS = 1_000;
/** The length of most rate-limit windows. Some windows are a minute long, but callers do not wait that long. */
const USUAL_WINDOW_MS = 10_000;

/** @type {import('./sdk/contract').Classify} */
export function classify(failure) {
  switch (failure.code) {
    case '52101':
    case '70031':
      return throttled(failure);
    // The total quota of an app in test state. It is never refilled, so waiting does not help.
    case '70036':
      return giveUp('quota', { reason: 'the quota of the test app is used up' });
    case '52102':
    case '52103':
      return retry('transient', { reason: 'the API is degraded' });
    case '70033':
      return retry('transient', { reason: 'the API is under maintenance' });
    // For these codes the API page recommends contacting support. It does not call them permanent.
    case '50000':
    case '50001':
    case '50002':
    case '52001':
    case '52002':
      return retry('transient', { reason: 'internal error of the platform' });
    // Retry once, so that the caller can refresh the token. If a fresh token is rejected too, the error is final.
    case '10019':
      return failure.attempt <= 1
        ? retry('auth', { reason: 'the access token has expired' })
        : giveUp('auth', { reason: 'a refreshed access token was rejected too' });
    case '20032':
      return giveUp('auth', { reason: 'the access token or the client ID is invalid' });
    case '20031':
      return giveUp('permanent', { reason: 'the seller has not granted access to this API' });
    case '70034':
    case '70035':
      return giveUp('permanent', { reason: 'rejected by risk control' });
    case '10000':
    case '10001':
    case '10016':
    case '10017':
    case '10018':
    case '20004':
    case '20005':
    case '20034':
    case '20035':
    case '21001':
    case '21002':
    case '30000':
    case '30001':
    case '52004':
    case '70032':
      return giveUp('permanent', { reason: 'invalid or forbidden request' });
    default:
      return abstain();
  }
}

/**
 * Returns the verdict for a throttled call.
 *
 * The platform usually names no delay and does not report which of its windows is full. The first delay is the shortest
 * window; each further attempt doubles it, up to the usual window.
 */
function throttled({ attempt, retryAfterMs }) {
  const defaultMs = Math.min(SHORTEST_WINDOW_MS * 2 ** Math.max(attempt - 1, 0), USUAL_WINDOW_MS);
  return retry('throttled', {
    afterMs: retryAfterMs || defaultMs,
    reason: 'rate limit of the platform exceeded',
  });
}
