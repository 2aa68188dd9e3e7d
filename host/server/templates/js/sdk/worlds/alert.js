// Adapts policy.js to the world `alert`.

import * as policy from '../../policy.js';
import { applySettings, callPolicy, toUnsigned, WHOLE_NUMBERS } from './host.js';

export const configure = (settings) => applySettings(policy.configure, settings);
export const evaluate = (snapshot) => {
  toUnsigned(snapshot.stats, WHOLE_NUMBERS);
  return callPolicy(policy.evaluate, snapshot);
};
