// The world `alert` around policy.js.

import * as policy from '../../policy.js';
import { ask, settle } from './host.js';

export const configure = (settings) => settle(policy.configure, settings);
export const evaluate = (snapshot) => ask(policy.evaluate, snapshot);
