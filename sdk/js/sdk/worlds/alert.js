// The world `alert` around policy.js.

import * as policy from '../../policy.js';
import { ask, COUNTS, settle, unsigned } from './host.js';

export const configure = (settings) => settle(policy.configure, settings);
export const evaluate = (snapshot) => {
  unsigned(snapshot.stats, COUNTS);
  return ask(policy.evaluate, snapshot);
};
