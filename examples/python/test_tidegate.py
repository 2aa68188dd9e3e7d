"""Tests the client against a running server. Set TIDEGATE_SERVER, and TIDEGATE_TOKEN if the server requires a token."""

import os
import threading
import unittest
import uuid

import tidegate

SERVER = os.environ.get("TIDEGATE_SERVER", "http://127.0.0.1:8700")
TOKEN = os.environ.get("TIDEGATE_TOKEN")


class ClientTest(unittest.TestCase):
    def setUp(self):
        self.client = tidegate.Client(SERVER, TOKEN)
        self.addCleanup(self.client.close)


class LimitTest(ClientTest):
    def test_limit_can_be_updated_reset_acquired_and_cancelled(self):
        self.client.update("suning", "1/h", 2)
        self.client.reset("suning")
        reservation_id = self.client.acquire("suning", cost=2)
        with self.assertRaises(tidegate.Limited) as raised:
            self.client.acquire("suning")
        self.assertGreater(raised.exception.retry_after, 1000)
        with self.assertRaises(tidegate.CostTooHigh) as raised:
            self.client.acquire("suning", cost=3)
        self.assertEqual(raised.exception.max_cost, 2)
        self.client.cancel("suning", reservation_id)
        self.assertEqual(self.client.status("suning")["available"], 2)

    def test_invalid_request_is_rejected_with_a_message(self):
        for call, message in [
            (lambda: self.client.acquire("no such/platform"), "unknown platform"),
            (lambda: self.client.update("suning", "5", 1), "expected tokens and a period"),
            (lambda: self.client.acquire("suning", cost=-1), "cost"),
            (lambda: self.client.metrics("suning", range="1y"), "range"),
        ]:
            with self.assertRaisesRegex(tidegate.Rejected, message):
                call()

    def test_unreachable_server_is_unavailable(self):
        with self.assertRaises(tidegate.Unavailable):
            tidegate.Client("http://127.0.0.1:9").status("jd")

    @unittest.skipUnless(TOKEN, "the server requires no token")
    def test_token_is_required_and_never_shown(self):
        for wrong in (None, "wrong"):
            with self.assertRaises(tidegate.Unauthorized) as raised:
                client = tidegate.Client(SERVER, wrong)
                self.addCleanup(client.close)
                client.status("jd")
            self.assertNotIn(TOKEN, str(raised.exception))
        self.assertNotIn(TOKEN, repr(self.client) + repr(vars(tidegate)))


class CallTest(ClientTest):
    def setUp(self):
        super().setUp()
        self.client.update("vipshop", "1000/s", 100)
        self.endpoint = uuid.uuid4().hex

    def counts(self):
        stats = self.client.metrics("vipshop", self.endpoint)
        return stats["success"], stats["errors"]

    def test_transient_failures_are_retried_and_counted(self):
        outcomes = iter([tidegate.Failure(status=503), TimeoutError("slow"), "a trade"])

        @self.client.retry("vipshop", self.endpoint)
        def get_trade(number):
            outcome = next(outcomes)
            if isinstance(outcome, Exception):
                raise outcome
            return number, outcome

        self.assertEqual(get_trade(7), (7, "a trade"))
        self.assertEqual(self.counts(), (1, 2))

    def test_permanent_failure_is_not_retried(self):
        def missing():
            raise tidegate.Failure(status=404, message="no such trade")

        with self.assertRaises(tidegate.GaveUp) as raised:
            self.client.call("vipshop", self.endpoint, missing)
        self.assertEqual((raised.exception.failure.status, raised.exception.advice["class"]), (404, "permanent"))
        self.assertEqual(self.counts(), (0, 1))

    def test_code_is_read_from_the_body(self):
        body = '{"error_response": {"code": 7, "msg": "App Call Limited"}}'
        for failure, expected in [
            (tidegate.Failure(status=200, body=body), "throttled"),
            (tidegate.Failure(status=200, body=body, code="40"), "permanent"),
            (tidegate.Failure(status=200), "permanent"),
        ]:
            advice = self.client.report("taobao", self.endpoint, "error", 0.1, failure)
            self.assertEqual(advice["class"], expected, failure.to_json())

    def test_credentials_are_refreshed_once(self):
        refreshes = []

        def unauthorized():
            raise tidegate.Failure(status=401)

        with self.assertRaises(tidegate.GaveUp):
            self.client.call("vipshop", self.endpoint, unauthorized, refresh=lambda: refreshes.append(1))
        self.assertEqual((refreshes, self.counts()), ([1], (0, 2)))

    def test_other_exceptions_are_not_caught(self):
        with self.assertRaises(ZeroDivisionError):
            self.client.call("vipshop", self.endpoint, lambda: 1 / 0)


class LockTest(ClientTest):
    def setUp(self):
        super().setUp()
        self.name = f"a/b {uuid.uuid4().hex}"

    def test_lock_is_exclusive_and_fencing_tokens_grow(self):
        with self.client.lock(self.name) as first:
            self.assertTrue(first.is_held())
            with self.assertRaises(tidegate.LockHeld):
                self.client.lock(self.name).__enter__()
            self.assertIn(self.name, [lock["name"] for lock in self.client.locks()])
        self.assertNotIn(self.name, [lock["name"] for lock in self.client.locks()])
        with self.client.lock(self.name) as second:
            self.assertGreater(second.fencing_token, first.fencing_token)

    def test_waiting_owner_gets_the_lock_when_it_is_released(self):
        acquired = threading.Event()

        def wait():
            with self.client.lock(self.name, wait=20):
                acquired.set()
            self.client.close()

        with self.client.lock(self.name):
            waiting = threading.Thread(target=wait)
            waiting.start()
            self.assertFalse(acquired.wait(0.2))
        self.assertTrue(acquired.wait(20))
        waiting.join()

    def test_lock_is_extended_beyond_its_ttl(self):
        with self.client.lock(self.name, ttl=0.3) as lease:
            self.assertFalse(lease.lost.wait(1.2))
            self.assertTrue(lease.is_held())

    def test_losing_the_lock_sets_lost(self):
        with self.client.lock(self.name, ttl=0.6) as lease:
            self.client._request("DELETE", lease._path)
            self.assertTrue(lease.lost.wait(20))
            self.assertFalse(lease.is_held())


if __name__ == "__main__":
    unittest.main()
