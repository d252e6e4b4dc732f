"""A PostgreSQL server that is the `orders-db` of the manifest."""

import glob
import os
import shutil
import subprocess


class Database:
    def __init__(self, folder):
        self.programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
        self.password = "p@ss/word"
        self.data, self.log, password = folder / "postgres", folder / "postgres.log", folder / "postgres.password"
        self.data.mkdir()
        self.log.touch()
        password.write_text(self.password)
        for path in (self.data, self.log, password):
            shutil.chown(path, "postgres", "postgres")
        self.run("initdb", "-D", self.data, "-A", "scram-sha-256", "-U", "orders", f"--pwfile={password}")
        self.start()
        self.run("createdb", "-h", "127.0.0.1", "-U", "orders", "orders")

    def run(self, program, *arguments):
        command = [f"{self.programs}/{program}", *map(str, arguments)]
        environment = {**os.environ, "PGPASSWORD": self.password}
        subprocess.run(
            command,
            check=True,
            user="postgres",
            group="postgres",
            extra_groups=[],
            env=environment,
            cwd="/",
            stdout=subprocess.DEVNULL,
        )

    def start(self):
        """Returns once it takes connections."""
        options = f"-p 5432 -k {self.data} -c listen_addresses=127.0.0.1 -c fsync=off"
        self.run("pg_ctl", "-D", self.data, "-l", self.log, "-w", "-o", options, "start")

    def stop(self):
        """As in a crash: its connections break, and nobody listens any more."""
        self.run("pg_ctl", "-D", self.data, "-w", "-m", "immediate", "stop")
