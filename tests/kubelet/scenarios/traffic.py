"""What a Service does: requests to the app whenever the pod is READY, five a second."""

import http.client
import threading
import time

PAUSE = 0.2


class Traffic:
    def __init__(self, may_send, log):
        """`may_send()` says whether the Service has the pod among its endpoints."""
        self.may_send, self.log = may_send, log
        self.served, self.refused = 0, 0
        threading.Thread(target=self.send, daemon=True).start()

    def send(self):
        last = None
        while True:
            if self.may_send():
                answer = ask("127.0.0.1", 8080, "/orders")
                served = answer is not None and answer[0] == 200
                self.served += served
                self.refused += not served
                if served != last:
                    self.log("traffic", "served" if served else "REFUSED")
                last = served
            time.sleep(PAUSE)


def ask(host, port, path):
    """The status and the body, or nothing."""
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
