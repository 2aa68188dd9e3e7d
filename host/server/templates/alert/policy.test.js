import assert from 'node:assert/strict';
import { test } from 'node:test';

import { evaluate } from './policy.js';

test('fires only with enough calls and a high hourly error rate', () => {
  const rows = [
    [20, 0.2, 0.15, 'firing'],
    [19, 0.2, 0.15, 'quiet'],
    [200, 0.9, 0.02, 'quiet'],
    [200, 0.1, 0.5, 'quiet'],
  ];
  for (const [count, now, hour, tag] of rows) {
    const host = { window: () => ({ count: 500, errorRate: hour }) };
    const verdict = evaluate({ platform: 'jd', stats: { count, errorRate: now } }, host);
    assert.equal(verdict.tag, tag, `${count} calls, ${now} now, ${hour} in the hour`);
  }
});
