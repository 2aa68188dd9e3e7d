// The world `admit` around policy.js.

import * as policy from '../../policy.js';
import { ask, settle } from './host.js';

export const configure = (settings) => settle(policy.configure, settings);
export const admit = (request) => ask(policy.admit, request);
