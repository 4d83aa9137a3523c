"""A four-replica dev cluster in a temporary directory: load on it, replicas that go, come back and are replaced."""
import json
import os
import platform
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RELEASE = os.path.join(ROOT, "build", "release", "bin")
PATIENCE = 900  # seconds, for one replica


def end_when_told():
    """SIGTERM, once: what was started is ended, too."""
    def end(*_):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        sys.exit(1)
    signal.signal(signal.SIGTERM, end)


class DevCluster:
    def __init__(self, bin_dir):
        self.bin_dir, self.said = bin_dir, []  # lines on standard error
        if not os.path.exists(os.path.join(bin_dir, "bftadm")):
            raise SystemExit(f"{bin_dir}: no bftadm there; build it (scripts/quickstart), or name its directory with --bin")
        self.directory = tempfile.mkdtemp(prefix="bftmeta-dev-")

    def run(self, *arguments):
        done = subprocess.run([os.path.join(self.bin_dir, "bftadm"), "--dir", self.directory, "-o", "json", *arguments],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        for line in done.stderr.splitlines():
            self.said.append(line)
            print(f"{' '.join(arguments)}: {line}", file=sys.stderr)
        if done.returncode != 0:
            raise RuntimeError(f"bftadm {' '.join(arguments)}: exit code {done.returncode} {done.stdout.strip()}")
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def bench(self, op, outstanding, seconds, preload=0):
        return self.run("bench", "--op", op, "--outstanding", str(outstanding), "--seconds", str(seconds),
                        "--preload", str(preload))

    def close(self):
        subprocess.run([os.path.join(self.bin_dir, "bftadm"), "--dir", self.directory, "dev", "down"],
                       stdout=subprocess.DEVNULL, check=False)
        if os.path.ismount(os.path.join(self.directory, "mnt")):
            raise SystemExit(f"{self.directory}/mnt is still mounted; end what uses it, then 'bftadm dev down', and remove it")
        for pause in (1, 1, 3, 5, None):  # a bftfs that was unmounted keeps its newest certificate yet
            try:
                return shutil.rmtree(self.directory)
            except OSError:
                if pause is None:
                    raise
                time.sleep(pause)


class Load(threading.Thread):
    """bftadm bench, again and again; a sample is (begin, end, operations per second)."""

    def __init__(self, cluster, outstanding, seconds=4):
        super().__init__(daemon=True)
        self.cluster, self.outstanding, self.seconds = cluster, outstanding, seconds
        self.samples, self.errors, self.failure = [], 0, None
        self.stopping = threading.Event()

    def run(self):
        while not self.stopping.is_set():
            begin = time.monotonic()
            try:
                result = self.cluster.bench("create", self.outstanding, self.seconds)
            except RuntimeError as error:
                self.failure = error
                return
            self.errors += result["errors"]
            self.samples.append((begin, time.monotonic(), result["ops_per_s"]))

    def rate(self, begin, end):
        """The median of the samples that lie in this time at least in part, when all of them are there."""
        while self.is_alive() and (not self.samples or self.samples[-1][1] < end):
            time.sleep(0.1)
        rates = [rate for b, e, rate in self.samples if e > begin and b < end]
        return statistics.median(rates) if rates else 0

    def stop(self):
        self.stopping.set()
        if self.is_alive():
            self.join()


class Replica:
    """One process of the cluster, started and stopped by its pid."""

    started = []  # all of them; "dev down" does not know these

    def __init__(self, cluster, position, directory):
        self.cluster, self.position, self.directory = cluster, position, directory
        self.data = os.path.join(directory, "data")
        self.log = os.path.join(directory, "log.txt")
        self.process, self.supervised, self.revived = None, False, 0

    @classmethod
    def end_all(cls):
        for process in cls.started:
            process.terminate()
        for process in cls.started:
            process.wait()

    def row(self):
        return self.mine(self.cluster.run("status")["replicas"])

    def mine(self, rows):
        return next((row for row in rows if row["id"] == self.position), None)

    def stop(self, number=signal.SIGTERM):
        pid = self.row()["pid"]
        os.kill(pid, number)
        while os.path.exists(f"/proc/{pid}") and not self.reaped():
            time.sleep(0.05)

    def reaped(self):
        return self.process is not None and self.process.poll() is not None

    def start(self):
        self.said = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        self.launch()

    def launch(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [os.path.join(self.cluster.bin_dir, "bftmetad"), "--config", os.path.join(self.directory, "replica.toml")],
                stdout=log, stderr=log)
        Replica.started.append(self.process)

    def check_alive(self):
        """True: it had ended by a signal, and was started again, as whoever supervises it does."""
        if self.process.poll() is None:
            return False
        if self.supervised and self.process.returncode < 0 and self.revived < 3:
            self.revived += 1
            self.launch()
            return True
        raise RuntimeError(f"replica {self.position} has ended: exit code {self.process.returncode}; the end of its "
                           "log: " + " | ".join(self.lines().splitlines()[-3:]))

    def lines(self):
        with open(self.log, encoding="utf-8") as log:
            log.seek(self.said)
            return log.read()

    def fetched(self):
        """Bytes of state and of blocks, since its start; history that it followed is not counted by anybody."""
        def total(pattern):
            return sum(int(n) for n in re.findall(pattern + r"\((\d+) bytes\)", self.lines()))
        return total(r"(?:fetched the state of|has the state of|repaired:) [^(]*"), total(r"\d+ fetched ")

    def back(self):
        """It follows, at most a batch or two behind, nothing is wrong with it, and it holds every block."""
        status = self.cluster.run("status")
        row, blocks = self.mine(status["replicas"]), self.mine(status["blocks"])
        return (row is not None and row["condition"] == "ok" and status["certified_seq"] - row["executed_seq"] < 20
                and blocks is not None and blocks["finished"] != "never" and blocks["missing"] == 0)

    def wait_back(self):
        begin = time.monotonic()
        while time.monotonic() - begin < PATIENCE:
            try:
                if self.back():
                    return time.monotonic() - begin
            except RuntimeError:
                pass  # the cluster answers again in a moment
            self.check_alive()
            time.sleep(0.2)
        raise RuntimeError(f"replica {self.position} has not come back within {PATIENCE} s: {self.row()}")

    def replace(self):
        """In the place of who has its position."""
        self.cluster.run("replica", "replace", str(self.position), os.path.join(self.directory, "card.toml"),
                         "--timeout", str(PATIENCE))


def free_ports():
    """The first of four that follow each other."""
    while True:
        first = random.randrange(20000, 30000, 4)
        try:
            for port in range(first, first + 4):
                with socket.socket() as s:
                    s.bind(("127.0.0.1", port))
            return first
        except OSError:
            continue


def new_replica(cluster, position, name):
    """With keys, a card and settings of its own; it is no member, and not started."""
    new = Replica(cluster, position, os.path.join(cluster.directory, name))
    cluster.run("keygen", "replica", "--out", new.directory, "--host", "127.0.0.1", "--port", str(free_ports()))
    with open(os.path.join(cluster.directory, "replica-0", "replica.toml"), encoding="utf-8") as settings:
        lines = [line for line in settings if not line.startswith("id =")]
    with open(os.path.join(new.directory, "replica.toml"), "w", encoding="utf-8") as settings:
        settings.writelines([f"id = {position}\n", 'card = "card.toml"\n', *lines])
    return new


def bytes_of(directory):
    total = 0
    for path, _, names in os.walk(directory):
        for name in names:
            total += os.stat(os.path.join(path, name)).st_blocks * 512
    return total


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return f"{os.cpu_count()} cores ({model}), Linux {platform.release()}"
