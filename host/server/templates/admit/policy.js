// The admission policy for {{name}}: decides whether a request is sent, at what cost and through which limits.
//
// Replace the endpoint and the label with your own. A limit of the platform applies if the scope contains all of its
// labels.

import { allow, deny, label } from './sdk/admit.js';

/** The platform counts an export as ten calls. */
const EXPORT_COST = 10;

/** @type {import('./sdk/contract').Admit} */
export function admit(request) {
  const seller = label(request, 'seller');
  if (seller === '') return deny('the label `seller` is missing', 400);
  return allow(request.endpoint === 'orders.export' ? EXPORT_COST : 1, { seller });
}
