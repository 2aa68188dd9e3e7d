// The alert condition {{name}}.
//
// To use it, set `policy = "alerts/{{name}}.wasm"` in a rule of alerts.toml. The condition ignores windows with few
// calls, and short bursts of errors that the last hour does not show.

import { firing, quiet } from './sdk/alert.js';

const HOUR_MS = 3_600_000;

/** @type {import('./sdk/contract').Evaluate} */
export function evaluate({ stats }, host) {
  if (stats.count >= 20 && stats.errorRate > 0.1 && host.window(HOUR_MS).errorRate > 0.1) {
    return firing('more than 10 % of the calls fail, now and over the last hour');
  }
  return quiet();
}
