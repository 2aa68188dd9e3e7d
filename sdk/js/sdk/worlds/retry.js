// Adapts policy.js to the world `retry`.

import * as policy from '../../policy.js';
import { classifyWith } from './classify.js';
import { applySettings, host } from './host.js';

const body = () => {
  throw new Error('host.body: the policy does not ask for the body; add `export const readsBody = true` to policy.js');
};

export const configure = (settings) => applySettings(policy.configure, settings);
export const classify = (failure) => classifyWith({ ...host, body }, failure);
