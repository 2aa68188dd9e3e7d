"""A client of tidegate's HTTP API, in one file without dependencies. It keeps API calls within their rate limits.

    client = tidegate.Client("http://127.0.0.1:8700", token=os.environ.get("TIDEGATE_TOKEN"))

    @client.retry("taobao", "taobao.trade.get")
    def get_trade(number):
        response = requests.get(...)
        if response.status_code != 200:
            raise tidegate.Failure(status=response.status_code, body=response.text, headers=response.headers.items())
        return response.json()

    with client.lock("orders:taobao") as lease:
        write(orders, token=lease.fencing_token)

All times in this module are in seconds; the HTTP API uses milliseconds. Requires Python 3.9 or newer.
"""

import functools
import http.client
import json
import threading
import time
import urllib.parse
import uuid

__all__ = [
    "Client", "Lease", "Failure", "Error", "Rejected", "Unauthorized", "Unavailable", "Limited", "CostTooHigh",
    "LockHeld", "GaveUp",
]


class Error(Exception):
    """The base class of all errors of this module."""


class Rejected(Error):
    """The server rejected the request. The message says what was expected."""


class Unauthorized(Error):
    """The token is missing or wrong."""


class Unavailable(Error):
    """The server, or its Redis, cannot be reached. The same request may succeed later."""


class Limited(Error):
    """The limit refuses the call within the requested wait. It can allow the call after `retry_after` seconds."""

    def __init__(self, retry_after):
        super().__init__(f"rate limited; retry after {retry_after:.3f} s")
        self.retry_after = retry_after


class CostTooHigh(Error):
    """The cost exceeds the burst of the limit, so the call can never be allowed. The cost can be `max_cost` at most."""

    def __init__(self, max_cost):
        super().__init__(f"the cost exceeds the burst of the limit; the highest possible cost is {max_cost}")
        self.max_cost = max_cost


class LockHeld(Error):
    """Another owner holds the lock, for at most `retry_after` seconds unless that owner extends it."""

    def __init__(self, name, retry_after):
        super().__init__(f"another owner holds the lock {name!r}")
        self.retry_after = retry_after


class GaveUp(Error):
    """A call failed and is not retried. `failure` is the last failure, `advice` the server's advice on it."""

    def __init__(self, failure, advice):
        super().__init__(f"gave up: {failure} (class {advice.get('class')}, decided by {advice.get('policy')})")
        self.failure, self.advice = failure, advice


class Failure(Exception):
    """A failed attempt, as the retry policy sees it. Raise it in the function that `Client.call` runs.

    `body` is the text of the response. The server reads `code`, `sub_code` and `message` from the body, as `error` in
    `[platforms.NAME]` of its configuration describes, unless they are given here.
    """

    def __init__(
        self, status=None, code=None, sub_code=None, message=None, kind="response", retry_after=None, headers=(),
        body=None,
    ):
        super().__init__(message or f"{kind} {status or ''} {code or ''}".strip())
        self.kind, self.status, self.code, self.sub_code, self.message = kind, status, code, sub_code, message
        self.retry_after, self.headers, self.body = retry_after, list(headers), body

    @classmethod
    def from_exception(cls, error):
        """Converts an exception to a Failure. Returns None if the exception is not a failure of the call."""
        if isinstance(error, cls):
            return error
        if isinstance(error, TimeoutError):
            return cls(kind="timeout", message=str(error))
        if isinstance(error, (ConnectionError, http.client.HTTPException)):
            return cls(kind="connection", message=str(error))
        return None

    def to_json(self):
        """Returns the failure as the object that the HTTP API expects."""
        fields = {name: getattr(self, name) for name in ("kind", "status", "code", "sub_code", "message", "body")}
        fields = {name: value for name, value in fields.items() if value is not None}
        if self.retry_after is not None:
            fields["retry_after_ms"] = _millis(self.retry_after)
        if self.headers:
            fields["headers"] = self.headers
        return fields


def _millis(seconds):
    return max(0, round(seconds * 1000))


class Client:
    """A client of one tidegate server. Threads can share it; each thread uses its own connection."""

    def __init__(self, url="http://127.0.0.1:8700", token=None, timeout=10.0):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("expected a URL, for example http://127.0.0.1:8700")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connect = functools.partial(kind, parts.hostname, parts.port)
        self._base_path, self._server = parts.path.rstrip("/"), f"{parts.scheme}://{parts.hostname}:{parts.port or ''}"
        self._token, self._timeout, self._local = token, timeout, threading.local()

    def __repr__(self):
        return f"Client({self._server!r})"

    def close(self):
        """Closes the connection of this thread. The next request opens a new one."""
        connection, self._local.connection = getattr(self._local, "connection", None), None
        if connection is not None:
            connection.close()

    # Limits.

    def acquire(self, platform, cost=1, wait=0.0, endpoint="other"):
        """Acquires `cost` tokens for one call and waits for them up to `wait` seconds. Returns a reservation id.

        Pass the id to `cancel` if the call is never sent. It is None while Redis is unavailable. Raises Limited or
        CostTooHigh. If the response is lost, the request is not sent again, because the limit would count it twice.
        """
        body = {"cost": cost, "wait_ms": _millis(wait), "endpoint": endpoint}
        status, response = self._send("POST", self._limit_path(platform, "/acquire"), body, wait=wait)
        if response.get("decision") == "limited":
            raise Limited(response["retry_after_ms"] / 1000)
        if response.get("decision") == "never":
            raise CostTooHigh(response["max_cost"])
        return self._check(status, response).get("reservation_id")

    def cancel(self, platform, reservation_id):
        """Cancels the reservation of a call that was never sent, and returns its tokens to the limit.

        Do not cancel a call that was sent, whatever its outcome.
        """
        if reservation_id is not None:
            self._request("POST", self._limit_path(platform, "/cancel"), {"reservation_id": reservation_id})

    def status(self, platform):
        """Returns the rate, the burst and the available whole tokens of a limit."""
        return self._request("GET", self._limit_path(platform), resend=True)

    def update(self, platform, rate, burst):
        """Changes the rate (for example "40/s") and the burst for every process that shares the limit."""
        return self._request("PUT", self._limit_path(platform), {"rate": rate, "burst": burst}, resend=True)

    def reset(self, platform):
        """Fills the limit up to its burst."""
        return self._request("POST", self._limit_path(platform, "/reset"))

    # Calls.

    def report(self, platform, endpoint, outcome, duration, failure=None, **fields):
        """Reports a finished attempt. With a failure, returns the advice: action, delay_ms,
        give_up_reason, retry_after_ms, class, reason, policy.
        """
        call = {"platform": platform, "endpoint": endpoint, "outcome": outcome, "duration_ms": duration * 1000}
        call.update(fields)
        if failure is not None:
            call["failure"] = failure.to_json()
        return self._request("POST", "/v1/calls", call)

    def call(self, platform, endpoint, function, cost=1, wait=30.0, idempotent=True, refresh=None):
        """Calls `function` within the limit, and retries it as the platform's retry policy advises.

        `refresh` renews the credentials after a failure of class `auth`, once. Raises GaveUp after the last failure.
        """
        call_started, previous_class, attempt = time.monotonic(), None, 0
        while True:
            self.acquire(platform, cost, wait, endpoint)
            attempt, attempt_started = attempt + 1, time.monotonic()
            try:
                result = function()
            except Exception as error:
                failure = Failure.from_exception(error)
                if failure is None:
                    raise
                advice = self.report(
                    platform, endpoint, "error", time.monotonic() - attempt_started, failure, attempt=attempt,
                    previous_class=previous_class, elapsed_ms=_millis(time.monotonic() - call_started),
                    idempotent=idempotent, refreshes_credentials=refresh is not None,
                )
                if advice["action"] != "retry":
                    raise GaveUp(failure, advice) from error
            else:
                self.report(platform, endpoint, "success", time.monotonic() - attempt_started)
                return result
            previous_class = advice["class"]
            if previous_class == "auth":
                refresh()
            time.sleep(advice["delay_ms"] / 1000)

    def retry(self, platform, endpoint, **options):
        """Decorates a function that makes one call. The options are those of `call`."""

        def decorate(function):
            @functools.wraps(function)
            def wrapper(*arguments, **keywords):
                return self.call(platform, endpoint, lambda: function(*arguments, **keywords), **options)

            return wrapper

        return decorate

    def metrics(self, platform, endpoint=None, range="1h"):
        """Returns the call counts, rates and quantiles of all processes that share the server's Redis."""
        query = {"platform": platform, "range": range, **({"endpoint": endpoint} if endpoint else {})}
        return self._request("GET", "/v1/metrics?" + urllib.parse.urlencode(query), resend=True)

    def alerts(self, platform=None, limit=100):
        """Returns the active alerts and the last `limit` notifications."""
        query = {"limit": limit, **({"platform": platform} if platform else {})}
        return self._request("GET", "/v1/alerts?" + urllib.parse.urlencode(query), resend=True)

    # Locks.

    def locks(self):
        """Returns the locks that are held."""
        return self._request("GET", "/v1/locks", resend=True)

    def lock(self, name, ttl=30.0, wait=0.0, owner=None):
        """Returns a lock for a `with` statement, for example `with client.lock("orders") as lease`.

        A thread extends the lock while it is held. Entering the `with` raises LockHeld if another owner holds the lock.
        """
        return Lease(self, name, ttl, wait, owner or uuid.uuid4().hex)

    # HTTP.

    @staticmethod
    def _limit_path(platform, suffix=""):
        return f"/v1/limits/{urllib.parse.quote(platform, safe='')}{suffix}"

    def _request(self, method, path, body=None, resend=False):
        """Sends a request and returns the response body. Raises an error for an error status."""
        return self._check(*self._send(method, path, body, resend))

    def _send(self, method, path, body=None, resend=False, wait=0.0):
        """Sends a request and returns the status and the response body.

        If `resend` is true and the kept connection turns out to be broken, the request is sent again.
        """
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        payload = json.dumps(body).encode() if body is not None else None
        for is_last in ([False, True] if resend else [True]):
            connection = self._connection(self._timeout + wait)
            try:
                connection.request(method, self._base_path + path, payload, headers)
                response = connection.getresponse()
                return response.status, self._parse(response.read())
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if is_last:
                    raise Unavailable(f"{self._server} does not respond: {type(error).__name__}") from None
        raise AssertionError("the last attempt returns or raises")

    def _connection(self, timeout):
        connection = getattr(self._local, "connection", None)
        # A server closes idle connections. A new connection is cheaper than a lost request.
        if connection is not None and time.monotonic() - self._local.used_at > 5.0:
            self.close()
            connection = None
        if connection is None:
            connection = self._local.connection = self._connect(timeout=timeout)
        elif connection.sock is not None:
            connection.sock.settimeout(timeout)
        self._local.used_at = time.monotonic()
        return connection

    @staticmethod
    def _parse(data):
        try:
            return json.loads(data) if data else {}
        except ValueError:
            return {"error": "the response is not JSON; check that the URL is that of a tidegate server"}

    @staticmethod
    def _check(status, response):
        if status < 300:
            return response
        message = response.get("error") if isinstance(response, dict) else None
        errors = {401: Unauthorized, 403: Unauthorized, 502: Unavailable, 503: Unavailable, 504: Unavailable}
        raise errors.get(status, Rejected)(message or f"HTTP {status}")


class Lease:
    """A lock that is held while a `with` block runs.

    `fencing_token` is the token of this grant. The event `lost` is set once the lock is lost.
    """

    def __init__(self, client, name, ttl, wait, owner):
        self._client, self.name, self._ttl, self._wait, self.owner = client, name, ttl, wait, owner
        self._path = f"/v1/locks/{urllib.parse.quote(name, safe='')}"
        self.fencing_token, self.lost = None, threading.Event()
        self._expires_at, self._released = 0.0, threading.Event()

    def __enter__(self):
        body = {
            "owner": self.owner, "ttl_ms": _millis(self._ttl), "wait_ms": _millis(self._wait), "id": uuid.uuid4().hex,
        }
        sent_at = time.monotonic()
        # The request has an id, so it counts once even if it is sent twice.
        status, response = self._client._send("POST", self._path + "/acquire", body, resend=True, wait=self._wait)
        if status == 409:
            raise LockHeld(self.name, response["retry_after_ms"] / 1000)
        self.fencing_token = self._client._check(status, response)["fencing_token"]
        self._expires_at = sent_at + self._ttl * 0.99
        # After a wait, the lock was granted at an unknown time after the request was sent. An extension that is sent
        # now makes the time of expiry certain.
        if time.monotonic() - sent_at > self._ttl / 10 and not self._extend():
            raise Unavailable(f"the lock {self.name!r} was granted too late to be kept")
        threading.Thread(target=self._extend_until_released, name=f"lock {self.name}", daemon=True).start()
        return self

    def __exit__(self, *_):
        self._released.set()
        body = {"owner": self.owner, "fencing_token": self.fencing_token, "id": uuid.uuid4().hex}
        try:
            # 409 means that the lock was lost earlier, so there is nothing to release.
            status, response = self._client._send("POST", self._path + "/release", body, resend=True)
            if status != 409:
                self._client._check(status, response)
        except Unavailable:
            pass  # The lock expires after its ttl.

    def is_held(self):
        """Returns whether this owner certainly holds the lock now, even if the process was paused."""
        return not self.lost.is_set() and time.monotonic() < self._expires_at

    def _extend(self):
        """Extends the lock. Returns True on success, False if the lock is lost, None if the server is unavailable."""
        sent_at = time.monotonic()
        body = {"owner": self.owner, "fencing_token": self.fencing_token, "ttl_ms": _millis(self._ttl)}
        try:
            status, response = self._client._send("POST", self._path + "/extend", body, resend=True)
            if status == 409:
                return False
            self._client._check(status, response)
        except Unavailable:
            return None
        # This is safe however late the response is: an extension with this fencing token succeeds only if no other
        # owner has held the lock since.
        self._expires_at = sent_at + self._ttl * 0.99
        return True

    def _extend_until_released(self):
        pause = self._ttl / 3
        while not self._released.wait(min(pause, max(0.0, self._expires_at - time.monotonic()))):
            extended = self._extend()
            pause = self._ttl / (20 if extended is None else 3)
            if extended is False or time.monotonic() >= self._expires_at:
                self.lost.set()
                break
        self._client.close()
