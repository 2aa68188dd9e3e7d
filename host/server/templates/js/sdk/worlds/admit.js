// Adapts policy.js to the world `admit`.

import * as policy from '../../policy.js';
import { applySettings, callPolicy, toUnsigned } from './host.js';

/** The largest cost. The component model would truncate a larger number. */
const MAX_COST = 2 ** 31 - 1;

export const configure = (settings) => applySettings(policy.configure, settings);
export const admit = (request) => callPolicy(admitChecked, toUnsigned(request, ['atMs']));

/** Calls the policy and checks the numbers of its verdict. On the way to the host, invalid numbers would change. */
function admitChecked(request, host) {
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
