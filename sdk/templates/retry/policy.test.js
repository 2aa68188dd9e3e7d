import assert from 'node:assert/strict';
import { test } from 'node:test';

import { classify } from './policy.js';

const answered = (code, attempt = 1) => classify({ status: 200, code, attempt, retryAfterMs: null });

test('an expired token is worth one more attempt and no third', () => {
  assert.equal(answered('401001', 1).action, 'retry');
  assert.equal(answered('401001', 2).action, 'give-up');
});

test('a code that nobody knows is left to the default', () => {
  assert.equal(answered('999999').action, 'default');
  assert.equal(answered(null).action, 'default');
});
