import assert from 'node:assert/strict';
import { test } from 'node:test';

import { admit } from './policy.js';

const admitRequest = (endpoint, labels) => admit({ endpoint, labels });

test('an export costs ten and other calls cost one', () => {
  for (const [endpoint, cost] of [['orders.export', 10], ['orders.list', 1]]) {
    const verdict = admitRequest(endpoint, [['seller', '7']]);
    assert.deepEqual(verdict, { tag: 'allow', val: { cost, scope: [['seller', '7']] } });
  }
});

test('a request without a seller is denied', () => {
  assert.equal(admitRequest('orders.list', []).tag, 'deny');
});
