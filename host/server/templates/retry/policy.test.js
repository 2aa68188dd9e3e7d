import assert from 'node:assert/strict';
import { test } from 'node:test';

import { classify } from './policy.js';

const classifyCode = (code, attempt = 1) => classify({ status: 200, code, attempt, retryAfterMs: null });

test('an expired token is retried once', () => {
  assert.equal(classifyCode('401001', 1).action, 'retry');
  assert.equal(classifyCode('401001', 2).action, 'give-up');
});

test('an unknown code is left to the default', () => {
  assert.equal(classifyCode('999999').action, 'default');
  assert.equal(classifyCode(null).action, 'default');
});
