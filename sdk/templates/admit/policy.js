// Whether a request to {{name}} goes, at what cost and through which limits.
//
// Replace the endpoint and the label by your own. A scope picks the limits of the platform whose labels are all in it.

import { allow, deny, label } from './sdk/admit.js';

/** The platform counts an export as ten calls. */
const COST_OF_EXPORT = 10;

/** @type {import('./sdk/contract').Admit} */
export function admit(request) {
  const seller = label(request, 'seller');
  if (seller === '') return deny('say for which seller this call is', 400);
  return allow(request.endpoint === 'orders.export' ? COST_OF_EXPORT : 1, { seller });
}
