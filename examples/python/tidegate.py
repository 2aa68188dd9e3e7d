"""Calls to other people's APIs inside their limits: a client of tidegate's HTTP API, in one file without dependencies.

    client = tidegate.Client("http://127.0.0.1:8700", token=os.environ.get("TIDEGATE_TOKEN"))

    @client.retry("taobao", "taobao.trade.get")
    def trade(number):
        answer = requests.get(...)
        if answer.status_code != 200:
            raise tidegate.Failure(status=answer.status_code, message=answer.text)
        return answer.json()

    with client.lock("orders:taobao") as lease:
        write(orders, token=lease.fencing_token)

Times are seconds here and milliseconds on the wire. Python 3.9 or newer.
"""

import functools
import http.client
import json
import threading
import time
import urllib.parse
import uuid

__all__ = ["Client", "Lease", "Failure", "Error", "Limited", "Never", "GaveUp", "Refused", "Unauthorized", "Away", "Held"]


class Error(Exception):
    """Whatever tidegate says no to."""


class Refused(Error):
    """The request was wrong: the message says what was expected."""


class Unauthorized(Error):
    """The token is missing or wrong."""


class Away(Error):
    """The server, or the Redis behind it, cannot be reached; the same may succeed later."""


class Limited(Error):
    """The limit lets nothing through in time; it would after `retry_after` seconds."""

    def __init__(self, retry_after):
        super().__init__(f"limited; the same fits in {retry_after:.3f} s")
        self.retry_after = retry_after


class Never(Error):
    """The cost is above the burst and never fits."""

    def __init__(self, most):
        super().__init__(f"the cost never fits; at most {most} does")
        self.most = most


class Held(Error):
    """Somebody else holds the lock, for at most `retry_after` seconds unless it is extended."""

    def __init__(self, name, retry_after):
        super().__init__(f"somebody else holds the lock {name!r}")
        self.retry_after = retry_after


class GaveUp(Error):
    """A call failed for good; `failure` is the last one, `advice` what was said of it."""

    def __init__(self, failure, advice):
        super().__init__(f"gave up: {failure} ({advice.get('class')}, says {advice.get('by')})")
        self.failure, self.advice = failure, advice


class Failure(Exception):
    """A failed attempt, as a retry policy sees it: raise it in what `Client.call` calls."""

    def __init__(self, status=None, code=None, sub_code=None, message=None, kind="response", retry_after=None, headers=()):
        super().__init__(message or f"{kind} {status or ''} {code or ''}".strip())
        self.kind, self.status, self.code, self.sub_code, self.message = kind, status, code, sub_code, message
        self.retry_after, self.headers = retry_after, list(headers)

    @classmethod
    def of(cls, error):
        """What an ordinary exception means, or None where it is no failure of the call."""
        if isinstance(error, cls):
            return error
        if isinstance(error, TimeoutError):
            return cls(kind="timeout", message=str(error))
        if isinstance(error, (ConnectionError, http.client.HTTPException)):
            return cls(kind="connection", message=str(error))
        return None

    def fields(self):
        told = {name: getattr(self, name) for name in ("kind", "status", "code", "sub_code", "message")}
        told = {name: value for name, value in told.items() if value is not None}
        if self.retry_after is not None:
            told["retry_after_ms"] = _millis(self.retry_after)
        if self.headers:
            told["headers"] = self.headers
        return told


def _millis(seconds):
    return max(0, round(seconds * 1000))


class Client:
    """A server of tidegate; safe to share between threads, each of which keeps a connection of its own."""

    def __init__(self, url="http://127.0.0.1:8700", token=None, timeout=10.0):
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("expected an address such as http://127.0.0.1:8700")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connect = functools.partial(kind, parts.hostname, parts.port)
        self._base, self._where = parts.path.rstrip("/"), f"{parts.scheme}://{parts.hostname}:{parts.port or ''}"
        self._token, self._timeout, self._local = token, timeout, threading.local()

    def __repr__(self):
        return f"Client({self._where!r})"

    def close(self):
        """Closes this thread's connection; the next request makes a new one."""
        connection, self._local.connection = getattr(self._local, "connection", None), None
        if connection is not None:
            connection.close()

    # Limits.

    def acquire(self, platform, cost=1, wait=0.0, endpoint="other"):
        """Asks for a call, waiting up to `wait` seconds for its slot; gives what `release` takes.

        Raises Limited or Never. A request whose answer was lost is not sent again: it would be counted twice.
        """
        asked = {"cost": cost, "wait_ms": _millis(wait), "endpoint": endpoint}
        status, answer = self._ask("POST", self._limit(platform, "/acquire"), asked, patience=wait)
        if answer.get("decision") == "limited":
            raise Limited(answer["retry_after_ms"] / 1000)
        if answer.get("decision") == "never":
            raise Never(answer["max"])
        return self._good(status, answer).get("receipt")

    def release(self, platform, receipt):
        """Gives back what a call took that was never sent; one that was sent is spent, however it ended."""
        if receipt is not None:
            self._do("POST", self._limit(platform, "/release"), {"receipt": receipt})

    def status(self, platform):
        """Rate, burst, and whole tokens there now."""
        return self._do("GET", self._limit(platform), again=True)

    def update(self, platform, rate, burst):
        """Changes rate (such as "40/s") and burst for all who share the limit."""
        return self._do("PUT", self._limit(platform), {"rate": rate, "burst": burst}, again=True)

    def reset(self, platform):
        """Grants the whole burst anew."""
        return self._do("POST", self._limit(platform, "/reset"))

    # Calls.

    def report(self, platform, endpoint, outcome, duration, failure=None, **more):
        """Reports what became of a call; of a failed one it gives the advice: action, delay_ms, class, by."""
        call = {"platform": platform, "endpoint": endpoint, "outcome": outcome, "duration_ms": duration * 1000, **more}
        if failure is not None:
            call["failure"] = failure.fields()
        return self._do("POST", "/v1/calls", call)

    def call(self, platform, endpoint, function, cost=1, wait=30.0, idempotent=True, refresh=None):
        """Calls `function` inside the limit, and again where that is worth it and as late as it is.

        `refresh` renews the credentials after a failure of class `auth`, once. Raises GaveUp from the last failure.
        """
        began, previous, attempt = time.monotonic(), None, 0
        while True:
            self.acquire(platform, cost, wait, endpoint)
            attempt, started = attempt + 1, time.monotonic()
            try:
                answer = function()
            except Exception as error:
                failure = Failure.of(error)
                if failure is None:
                    raise
                advice = self.report(
                    platform, endpoint, "error", time.monotonic() - started, failure, attempt=attempt, previous=previous,
                    elapsed_ms=_millis(time.monotonic() - began), idempotent=idempotent,
                    refreshes_credentials=refresh is not None,
                )
                if advice["action"] != "retry":
                    raise GaveUp(failure, advice) from error
            else:
                self.report(platform, endpoint, "success", time.monotonic() - started)
                return answer
            previous = advice["class"]
            if previous == "auth":
                refresh()
            time.sleep(advice["delay_ms"] / 1000)

    def retry(self, platform, endpoint, **options):
        """Decorates a function that makes one call; see `call`."""

        def decorate(function):
            @functools.wraps(function)
            def called(*arguments, **keywords):
                return self.call(platform, endpoint, lambda: function(*arguments, **keywords), **options)

            return called

        return decorate

    def metrics(self, platform, endpoint=None, range="1h"):
        """Counts, rates and quantiles of the fleet."""
        query = {"platform": platform, "range": range, **({"endpoint": endpoint} if endpoint else {})}
        return self._do("GET", "/v1/metrics?" + urllib.parse.urlencode(query), again=True)

    def alerts(self, platform=None, limit=100):
        """What holds now, and what people were told."""
        query = {"limit": limit, **({"platform": platform} if platform else {})}
        return self._do("GET", "/v1/alerts?" + urllib.parse.urlencode(query), again=True)

    # Locks.

    def locks(self):
        """The locks that are held now."""
        return self._do("GET", "/v1/locks", again=True)

    def lock(self, name, ttl=30.0, wait=0.0, owner=None):
        """A lock, extended by a thread while it is held: `with client.lock("orders") as lease`. Raises Held."""
        return Lease(self, name, ttl, wait, owner or uuid.uuid4().hex)

    # The wire.

    @staticmethod
    def _limit(platform, rest=""):
        return f"/v1/limits/{urllib.parse.quote(platform, safe='')}{rest}"

    def _do(self, method, path, body=None, again=False, patience=0.0):
        return self._good(*self._ask(method, path, body, again, patience))

    def _ask(self, method, path, body=None, again=False, patience=0.0):
        """Sends a request; one that may be sent twice is, where the kept connection turns out to be broken."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        payload = json.dumps(body).encode() if body is not None else None
        for last in ([False, True] if again else [True]):
            connection = self._connection(self._timeout + patience)
            try:
                connection.request(method, self._base + path, payload, headers)
                response = connection.getresponse()
                return response.status, self._read(response.read())
            except (OSError, http.client.HTTPException) as error:
                self.close()
                if last:
                    raise Away(f"{self._where} gives no answer: {type(error).__name__}") from None
        raise AssertionError("the last attempt returns or raises")

    def _connection(self, timeout):
        connection = getattr(self._local, "connection", None)
        # A server ends connections that nobody used for a while; a fresh one costs less than a lost request.
        if connection is not None and time.monotonic() - self._local.used > 5.0:
            self.close()
            connection = None
        if connection is None:
            connection = self._local.connection = self._connect(timeout=timeout)
        elif connection.sock is not None:
            connection.sock.settimeout(timeout)
        self._local.used = time.monotonic()
        return connection

    @staticmethod
    def _read(data):
        try:
            return json.loads(data) if data else {}
        except ValueError:
            return {"error": "the answer is no JSON; is this a server of tidegate?"}

    @staticmethod
    def _good(status, answer):
        if status < 300:
            return answer
        message = answer.get("error") if isinstance(answer, dict) else None
        kind = {401: Unauthorized, 403: Unauthorized, 502: Away, 503: Away, 504: Away}.get(status, Refused)
        raise kind(message or f"HTTP {status}")


class Lease:
    """A lock that is held between entering and leaving a `with`."""

    def __init__(self, client, name, ttl, wait, owner):
        self._client, self.name, self._ttl, self._wait, self.owner = client, name, ttl, wait, owner
        self._path = f"/v1/locks/{urllib.parse.quote(name, safe='')}"
        self.fencing_token, self.lost, self._until, self._done = None, threading.Event(), 0.0, threading.Event()

    def __enter__(self):
        asked = {
            "owner": self.owner, "ttl_ms": _millis(self._ttl), "wait_ms": _millis(self._wait), "id": uuid.uuid4().hex,
        }
        sent = time.monotonic()
        # It carries an id, so sending it again counts once.
        status, answer = self._client._ask("POST", self._path + "/acquire", asked, again=True, patience=self._wait)
        if status == 409:
            raise Held(self.name, answer["retry_after_ms"] / 1000)
        self.fencing_token = self._client._good(status, answer)["fencing_token"]
        self._until = sent + self._ttl * 0.99
        # What was waited for was granted some time after it was asked for; an extension that is sent now says when the
        # lock ends for certain.
        if time.monotonic() - sent > self._ttl / 10 and not self._extend():
            raise Away(f"the lock {self.name!r} was granted too late to be kept")
        threading.Thread(target=self._keep, name=f"lock {self.name}", daemon=True).start()
        return self

    def __exit__(self, *_):
        self._done.set()
        body = {"owner": self.owner, "fencing_token": self.fencing_token, "id": uuid.uuid4().hex}
        try:
            # 409 says that it was lost before; there is nothing to give back then.
            status, answer = self._client._ask("POST", self._path + "/release", body, again=True)
            if status != 409:
                self._client._good(status, answer)
        except Away:
            pass  # it ends by its ttl

    def is_held(self):
        """Whether nobody else can hold the lock now; right even after the process stood still."""
        return not self.lost.is_set() and time.monotonic() < self._until

    def _extend(self):
        """Extends once; False where it is lost, None where nobody answered."""
        sent = time.monotonic()
        body = {"owner": self.owner, "fencing_token": self.fencing_token, "ttl_ms": _millis(self._ttl)}
        try:
            status, answer = self._client._ask("POST", self._path + "/extend", body, again=True)
            if status == 409:
                return False
            self._client._good(status, answer)
        except Away:
            return None
        # However late the answer: it was extended, so by its token nobody else can have held it between.
        self._until = sent + self._ttl * 0.99
        return True

    def _keep(self):
        pause = self._ttl / 3
        while not self._done.wait(min(pause, max(0.0, self._until - time.monotonic()))):
            extended = self._extend()
            pause = self._ttl / (20 if extended is None else 3)
            if extended is False or time.monotonic() >= self._until:
                self.lost.set()
                break
        self._client.close()
