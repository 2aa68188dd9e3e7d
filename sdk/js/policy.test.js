import assert from 'node:assert/strict';
import { test } from 'node:test';

import { classify } from './policy.js';

/** Returns a failure with this code in an HTTP 200 response. */
const failureWith = (code, attempt = 1, retryAfterMs = null) => ({ status: 200, code, attempt, retryAfterMs });

test('each known code has its verdict', () => {
  const rows = [
    ['52101 70031', 'retry', 'throttled'],
    ['70036', 'give-up', 'quota'],
    ['52102 52103 70033 50000 50001 50002 52001 52002', 'retry', 'transient'],
    ['20032', 'give-up', 'auth'],
    ['10000 10001 10016 10017 10018 20004 20005 20031 20034 20035 21001', 'give-up', 'permanent'],
    ['21002 30000 30001 52004 70032 70034 70035', 'give-up', 'permanent'],
  ];
  for (const [codes, action, failureClass] of rows) {
    for (const code of codes.split(' ')) {
      const verdict = classify(failureWith(code));
      assert.deepEqual([verdict.action, verdict.class], [action, failureClass], code);
      assert.ok(verdict.reason, code);
    }
  }
});

test('an expired token is retried once', () => {
  for (const [attempt, action] of [[1, 'retry'], [2, 'give-up'], [3, 'give-up']]) {
    assert.equal(classify(failureWith('10019', attempt)).action, action, `attempt ${attempt}`);
  }
});

test('a throttled call waits for the requested or the default delay', () => {
  const rows = [[0, null, 1_000], [1, null, 1_000], [2, null, 2_000], [4, null, 8_000], [5, null, 10_000]];
  rows.push([4_294_967_295, null, 10_000], [1, 0, 1_000], [1, 300, 300], [5, 45_000, 45_000]);
  for (const [attempt, retryAfterMs, expectedMs] of rows) {
    const { afterMs } = classify(failureWith('52101', attempt, retryAfterMs));
    assert.equal(afterMs, expectedMs, `attempt ${attempt}, retryAfterMs ${retryAfterMs}`);
  }
});

test('unknown codes are left to the default', () => {
  for (const code of ['99999', '52101 ', '', null]) {
    assert.equal(classify(failureWith(code)).action, 'default', `${code}`);
  }
});
