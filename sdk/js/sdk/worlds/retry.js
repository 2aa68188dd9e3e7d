// The world `retry` around policy.js.

import * as policy from '../../policy.js';
import { ask, settle } from './host.js';

export const configure = (settings) => settle(policy.configure, settings);
export const classify = (failure) => ask(policy.classify, failure);
