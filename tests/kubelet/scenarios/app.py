"""The app of the scenarios. What it does is written into files of the folder /ctl, read anew for every request.

start   seconds from the start of the process until it listens (read at the start)
hangs   process ids that accept requests and never answer; a restarted app is a new process, and well
orders  how /orders answers: `ok`, `500`, `slow SECONDS`, or `pool SECONDS`: 500 until that long after the check's first
        request, so that the traffic of the Service does not warm the pool up before it

It answers /booked with the names of all hosts that were asked for it, out of a file on its disk /data.

With the argument `migrate` it ends at once.
"""

import http.server
import os
import signal
import socket
import sys
import time

first_check = None


def read(name, default=""):
    try:
        with open("/ctl/" + name) as file:
            return file.read().strip() or default
    except OSError:
        return default


class App(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if str(os.getpid()) in read("hangs").split():
            time.sleep(3600)
        if self.path == "/booked":
            return self.answer(200, booked())
        self.answer(orders("limit=" in self.path) if self.path.startswith("/orders") else 200)

    def answer(self, code, body=b'{"ok":true}'):
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def booked():
    with open("/data/hosts", "a+b") as hosts:
        hosts.write(socket.gethostname().encode() + b"\n")
        hosts.seek(0)
        return hosts.read()


def orders(of_the_check):
    global first_check
    mode, *seconds = read("orders", "ok").split()
    if mode == "500":
        return 500
    if mode == "slow":
        time.sleep(float(seconds[0]))
    if mode == "pool":
        if of_the_check:
            first_check = first_check or time.monotonic()
        return 200 if first_check and time.monotonic() - first_check >= float(seconds[0]) else 500
    return 200


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


if sys.argv[1:] == ["migrate"]:
    sys.exit()  # as an init container, it has nothing to do
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
time.sleep(float(read("start", "0")))
print("listens", flush=True)
try:
    Server(("127.0.0.1", 8080), App).serve_forever()
except OSError as error:
    sys.exit(f"cannot listen: {error}")
