// The world `admit` around policy.js.

import * as policy from '../../policy.js';
import { ask, settle, unsigned } from './host.js';

/** What is larger arrives smaller. */
const MAX_COST = 2 ** 31 - 1;

export const configure = (settings) => settle(policy.configure, settings);
export const admit = (request) => ask(judge, unsigned(request, ['atMs']));

/** What is no whole number, or too large, would be another number on the way to the host. */
function judge(request, host) {
  const verdict = policy.admit(request, host);
  const { cost = 1, status = 400 } = verdict?.val ?? {};
  if (!(Number.isInteger(cost) && cost >= 1 && cost <= MAX_COST)) {
    throw new RangeError(`cost: expected a whole number from 1 to ${MAX_COST}, not ${cost}`);
  }
  if (!(Number.isInteger(status) && status >= 400 && status <= 599)) {
    throw new RangeError(`status: expected a whole number from 400 to 599, not ${status}`);
  }
  return verdict;
}
