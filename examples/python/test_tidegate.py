"""The client against a running server: TIDEGATE_SERVER, and TIDEGATE_TOKEN where it demands one."""

import os
import threading
import unittest
import uuid

import tidegate

SERVER = os.environ.get("TIDEGATE_SERVER", "http://127.0.0.1:8700")
TOKEN = os.environ.get("TIDEGATE_TOKEN")


class Case(unittest.TestCase):
    def setUp(self):
        self.client = tidegate.Client(SERVER, TOKEN)
        self.addCleanup(self.client.close)


class Limits(Case):
    def test_a_limit_is_asked_changed_filled_and_given_back(self):
        self.client.update("suning", "1/h", 2)
        self.client.reset("suning")
        receipt = self.client.acquire("suning", cost=2)
        with self.assertRaises(tidegate.Limited) as told:
            self.client.acquire("suning")
        self.assertGreater(told.exception.retry_after, 1000)
        with self.assertRaises(tidegate.Never) as told:
            self.client.acquire("suning", cost=3)
        self.assertEqual(told.exception.most, 2)
        self.client.release("suning", receipt)
        self.assertEqual(self.client.status("suning")["available"], 2)

    def test_what_is_wrong_is_told(self):
        for call, words in [
            (lambda: self.client.acquire("no such/platform"), "unknown platform"),
            (lambda: self.client.update("suning", "5", 1), "expected tokens and a period"),
            (lambda: self.client.acquire("suning", cost=-1), "cost"),
            (lambda: self.client.metrics("suning", range="1y"), "range"),
        ]:
            with self.assertRaisesRegex(tidegate.Refused, words):
                call()

    def test_a_server_that_is_not_there_is_away(self):
        with self.assertRaises(tidegate.Away):
            tidegate.Client("http://127.0.0.1:9").status("jd")

    @unittest.skipUnless(TOKEN, "the server demands no token")
    def test_the_token_is_demanded_and_never_shown(self):
        for wrong in (None, "wrong"):
            with self.assertRaises(tidegate.Unauthorized) as told:
                stranger = tidegate.Client(SERVER, wrong)
                self.addCleanup(stranger.close)
                stranger.status("jd")
            self.assertNotIn(TOKEN, str(told.exception))
        self.assertNotIn(TOKEN, repr(self.client) + repr(vars(tidegate)))


class Calls(Case):
    def setUp(self):
        super().setUp()
        self.client.update("vipshop", "1000/s", 100)
        self.endpoint = uuid.uuid4().hex

    def counted(self):
        figures = self.client.metrics("vipshop", self.endpoint)
        return figures["success"], figures["errors"]

    def test_passing_trouble_is_retried_and_counted(self):
        answers = iter([tidegate.Failure(status=503), TimeoutError("slow"), "a trade"])

        @self.client.retry("vipshop", self.endpoint)
        def trade(number):
            answer = next(answers)
            if isinstance(answer, Exception):
                raise answer
            return number, answer

        self.assertEqual(trade(7), (7, "a trade"))
        self.assertEqual(self.counted(), (1, 2))

    def test_what_can_never_succeed_is_called_once(self):
        def missing():
            raise tidegate.Failure(status=404, message="no such trade")

        with self.assertRaises(tidegate.GaveUp) as told:
            self.client.call("vipshop", self.endpoint, missing)
        self.assertEqual((told.exception.failure.status, told.exception.advice["class"]), (404, "permanent"))
        self.assertEqual(self.counted(), (0, 1))

    def test_credentials_are_renewed_once(self):
        renewed = []

        def refused():
            raise tidegate.Failure(status=401)

        with self.assertRaises(tidegate.GaveUp):
            self.client.call("vipshop", self.endpoint, refused, refresh=lambda: renewed.append(1))
        self.assertEqual((renewed, self.counted()), ([1], (0, 2)))

    def test_a_mistake_of_the_program_passes_through(self):
        with self.assertRaises(ZeroDivisionError):
            self.client.call("vipshop", self.endpoint, lambda: 1 / 0)


class Locks(Case):
    def setUp(self):
        super().setUp()
        self.name = f"a/b {uuid.uuid4().hex}"

    def test_one_holds_and_the_next_has_a_greater_token(self):
        with self.client.lock(self.name) as first:
            self.assertTrue(first.is_held())
            with self.assertRaises(tidegate.Held):
                self.client.lock(self.name).__enter__()
            self.assertIn(self.name, [lock["name"] for lock in self.client.locks()])
        self.assertNotIn(self.name, [lock["name"] for lock in self.client.locks()])
        with self.client.lock(self.name) as second:
            self.assertGreater(second.fencing_token, first.fencing_token)

    def test_who_waits_is_served_when_it_is_given_back(self):
        served = threading.Event()

        def wait():
            with self.client.lock(self.name, wait=20):
                served.set()
            self.client.close()

        with self.client.lock(self.name):
            waiting = threading.Thread(target=wait)
            waiting.start()
            self.assertFalse(served.wait(0.2))
        self.assertTrue(served.wait(20))
        waiting.join()

    def test_a_holder_that_works_longer_than_its_ttl_keeps_the_lock(self):
        with self.client.lock(self.name, ttl=0.3) as lease:
            self.assertFalse(lease.lost.wait(1.2))
            self.assertTrue(lease.is_held())

    def test_who_loses_the_lock_is_told(self):
        with self.client.lock(self.name, ttl=0.6) as lease:
            self.client._do("DELETE", lease._path)
            self.assertTrue(lease.lost.wait(20))
            self.assertFalse(lease.is_held())


if __name__ == "__main__":
    unittest.main()
