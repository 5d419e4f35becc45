#!/usr/bin/env -S python -IS
"""healthy.py PORT PATH: exit status 0 when http://127.0.0.1:PORT/PATH answers 200; else what it answered, and 1."""

import http.client
import sys

TIMEOUT_S = 12
"""Longer than the services' own limit for the forward that /health runs, 10 s."""

port, path = sys.argv[1:]
connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=TIMEOUT_S)
try:
    connection.request("GET", path)
    answer = connection.getresponse()
except OSError as exc:
    sys.exit(f"port {port}: {exc}")
if answer.status != http.client.OK:
    sys.exit(f"{path} answers {answer.status}: {answer.read(500).decode(errors='replace')}")
