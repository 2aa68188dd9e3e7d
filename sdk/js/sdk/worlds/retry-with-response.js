// Adapts policy.js to the world `retry-with-response`, whose policies read the body of the platform's response.

import response from 'tidegate:policy/response@0.3.0';

import * as policy from '../../policy.js';
import { classifyWith } from './classify.js';
import { applySettings, host } from './host.js';

const body = () => response.body();

export const configure = (settings) => applySettings(policy.configure, settings);
export const classify = (failure) => classifyWith({ ...host, body }, failure);
