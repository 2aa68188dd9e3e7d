// Whether {{name}} is on fire.
//
// A rule of alerts.toml asks it: `policy = "alerts/{{name}}.wasm"`. A few calls prove nothing, and a burst of errors that
// the last hour does not show is over before anyone looks.

import { firing, quiet } from './sdk/alert.js';

const HOUR_MS = 3_600_000;

/** @type {import('./sdk/contract').Evaluate} */
export function evaluate({ stats }, host) {
  if (stats.count >= 20 && stats.errorRate > 0.1 && host.window(HOUR_MS).errorRate > 0.1) {
    return firing('more than a tenth of the calls fail, now and over the last hour');
  }
  return quiet();
}
