"""A RabbitMQ with TLS that is the `broker` of the manifest, and the authority that its certificate is from."""

import json
import os
import shutil
import socket
import subprocess
import time

PORT = 5671
# The authorities that this machine trusts.
TRUSTED = "/etc/ssl/certs/ca-certificates.crt"
STARTS = 120  # seconds; on a machine that does much else it takes its time


class Broker:
    def __init__(self, folder, password):
        self.folder = folder / "rabbitmq"
        self.folder.mkdir()
        self.certify()
        self.bundle = folder / "bundle.pem"
        with open(TRUSTED) as trusted:
            self.bundle.write_text(trusted.read() + (self.folder / "ca.pem").read_text())
        user = {"name": "ledger", "password": password, "tags": ""}
        rights = {"user": "ledger", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}
        queue = {"name": "bookings", "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}}
        definitions = {"vhosts": [{"name": "/"}], "users": [user], "permissions": [rights], "queues": [queue]}
        self.write("definitions.json", json.dumps(definitions))
        self.write(
            "rabbitmq.conf",
            f"listeners.tcp = none\nlisteners.ssl.1 = 127.0.0.1:{PORT}\n"
            f"ssl_options.certfile = {self.folder}/broker.pem\nssl_options.keyfile = {self.folder}/broker.key\n"
            f"load_definitions = {self.folder}/definitions.json\nlog.file = false\nlog.console = true\n",
        )
        self.write("plugins", "[].")
        self.write("environment", "")
        self.child = None

    def write(self, name, text):
        (self.folder / name).write_text(text)

    def certify(self):
        def openssl(*arguments):
            subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=self.folder)

        new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
        openssl(*new, "-subj", "/CN=an authority of this pod", "-keyout", "ca.key", "-out", "ca.pem")
        names = ["-addext", "subjectAltName=DNS:broker", "-addext", "basicConstraints=critical,CA:FALSE"]
        signed = ["-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", "broker.key", "-out", "broker.pem"]
        openssl(*new, "-subj", "/CN=broker", *names, *signed)

    def start(self):
        """Returns once it takes connections."""
        for path in (self.folder, *self.folder.iterdir()):
            shutil.chown(path, "rabbitmq", "rabbitmq")
        places = {"CONFIG_FILE": "rabbitmq.conf", "CONF_ENV_FILE": "environment", "ENABLED_PLUGINS_FILE": "plugins"}
        places |= {"MNESIA_BASE": "mnesia", "LOG_BASE": "log", "PID_FILE": "pid"}
        environment = {**os.environ, **{f"RABBITMQ_{name}": f"{self.folder}/{file}" for name, file in places.items()}}
        environment |= {"RABBITMQ_NODENAME": "broker@localhost", "RABBITMQ_ALLOW_INPUT": "1", "HOME": str(self.folder)}
        self.child = subprocess.Popen(
            ["/usr/sbin/rabbitmq-server", "-noinput"],
            user="rabbitmq",
            group="rabbitmq",
            extra_groups=[],
            env=environment,
            cwd="/",
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        end = time.monotonic() + STARTS
        while True:
            try:
                return socket.create_connection(("127.0.0.1", PORT)).close()
            except OSError:
                if self.child.poll() is not None or time.monotonic() > end:
                    raise
            time.sleep(0.1)

    def stop(self):
        """As in a crash: its connections break, and nobody listens any more."""
        if self.child:
            os.killpg(self.child.pid, 9)
            self.child.wait()
