// Pinduoduo's classifier as in policies/guests/pdd, in JavaScript: one table of cases holds for both.
//
// What carries no code of the platform's table (a time-out, a gateway's 502, a code published later) is left to
// `retry/default`.

import { abstain, giveUp, retry } from './sdk/retry.js';

/** The shortest window that the platform limits calls in. */
const SHORTEST_WINDOW_MS = 1_000;
/** The window of most of its limits; some last a minute, which no caller waits for. */
const USUAL_WINDOW_MS = 10_000;

/** @type {import('./sdk/contract').Classify} */
export function classify(failure) {
  switch (failure.code) {
    case '52101':
    case '70031':
      return throttled(failure);
    // It counts the calls of an app in test state, and waiting gives none back.
    case '70036':
      return giveUp('quota', { reason: 'the calls of an app in test state are used up' });
    case '52102':
    case '52103':
      return retry('transient', { reason: 'the API is degraded' });
    case '70033':
      return retry('transient', { reason: 'the API is under maintenance' });
    // The page sends these to support without calling them final.
    case '50000':
    case '50001':
    case '50002':
    case '52001':
    case '52002':
      return retry('transient', { reason: 'an error within the platform' });
    // Once, so that the caller can refresh the token; the same answer to a fresh one is final.
    case '10019':
      return failure.attempt <= 1
        ? retry('auth', { reason: 'the access token has expired' })
        : giveUp('auth', { reason: 'a refreshed access token is refused too' });
    case '20032':
      return giveUp('auth', { reason: 'the access token or the client id is wrong' });
    case '20031':
      return giveUp('permanent', { reason: 'the seller has not granted this API' });
    case '70034':
    case '70035':
      return giveUp('permanent', { reason: 'refused by risk control' });
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
      return giveUp('permanent', { reason: 'the request itself is refused' });
    default:
      return abstain();
  }
}

/**
 * The platform names no wait and does not say which of its windows is full: the shortest first, then twice as long each
 * time, up to the usual one.
 */
function throttled({ attempt, retryAfterMs }) {
  const guess = Math.min(SHORTEST_WINDOW_MS * 2 ** Math.max(attempt - 1, 0), USUAL_WINDOW_MS);
  return retry('throttled', {
    afterMs: retryAfterMs ?? guess,
    reason: 'called more often than the platform allows',
  });
}
