"""A worker that shares its quota with every other one: it calls as often as the limit lets it and says what it was allowed.

    python3 worker.py --server http://127.0.0.1:8700 --platform taobao --seconds 5

The token, where the server demands one, comes from TIDEGATE_TOKEN. It prints one line of JSON: for each call when it
asked and when it was let go, in seconds since 1970.
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
    while (left := end - time.monotonic()) > 0:
        asked = time.time()
        try:
            client.acquire(options.platform, wait=left)
        except tidegate.Limited:
            break  # the next slot comes after the end
        calls.append((asked, time.time()))
    print(json.dumps({"platform": options.platform, "allowed": len(calls), "calls": calls}))


if __name__ == "__main__":
    main()
