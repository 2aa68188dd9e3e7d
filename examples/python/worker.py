"""Call a platform as often as its shared limit allows, and print the times of the calls.

    python3 worker.py --server http://127.0.0.1:8700 --platform taobao --seconds 5

If the server requires a token, set TIDEGATE_TOKEN. The output is one line of JSON. For each call it contains the time
of the request and the time at which the limit allowed it, in seconds since 1970.
"""

import argparse
import json
import os
import time

import tidegate


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--server", default="http://127.0.0.1:8700")
    parser.add_argument("--platform", default="taobao")
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    client = tidegate.Client(options.server, os.environ.get("TIDEGATE_TOKEN"))
    calls, end = [], time.monotonic() + options.seconds
    while (remaining := end - time.monotonic()) > 0:
        requested_at = time.time()
        try:
            client.acquire(options.platform, wait=remaining)
        except tidegate.Limited:
            break  # The limit allows the next call only after the end.
        calls.append((requested_at, time.time()))
    print(json.dumps({"platform": options.platform, "allowed": len(calls), "calls": calls}))


if __name__ == "__main__":
    main()
