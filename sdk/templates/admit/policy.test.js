import assert from 'node:assert/strict';
import { test } from 'node:test';

import { admit } from './policy.js';

const asked = (endpoint, labels) => admit({ endpoint, labels });

test('an export costs ten calls, anything else one', () => {
  for (const [endpoint, cost] of [['orders.export', 10], ['orders.list', 1]]) {
    assert.deepEqual(asked(endpoint, [['seller', '7']]), { tag: 'allow', val: { cost, scope: [['seller', '7']] } });
  }
});

test('a call of nobody does not go', () => {
  assert.equal(asked('orders.list', []).tag, 'deny');
});
