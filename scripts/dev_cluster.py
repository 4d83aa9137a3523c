"""A four-replica dev cluster in a temporary directory, for scripts/bench and scripts/recovery."""
import json
import os
import platform
import shutil
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RELEASE = os.path.join(ROOT, "build", "release", "bin")


class DevCluster:
    def __init__(self, bin_dir):
        self.bin_dir = bin_dir
        if not os.path.exists(os.path.join(bin_dir, "bftadm")):
            raise SystemExit(f"{bin_dir}: no bftadm there; build it (scripts/quickstart), or name its directory with --bin")
        self.directory = tempfile.mkdtemp(prefix="bftmeta-dev-")

    def run(self, *arguments):
        done = subprocess.run([os.path.join(self.bin_dir, "bftadm"), "--dir", self.directory, "-o", "json", *arguments],
                              stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"bftadm {' '.join(arguments)}: exit code {done.returncode}")
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def bench(self, op, outstanding, seconds, preload=0):
        return self.run("bench", "--op", op, "--outstanding", str(outstanding), "--seconds", str(seconds),
                        "--preload", str(preload))

    def close(self):
        subprocess.run([os.path.join(self.bin_dir, "bftadm"), "--dir", self.directory, "dev", "down"],
                       stdout=subprocess.DEVNULL, check=False)
        shutil.rmtree(self.directory)


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return f"{os.cpu_count()} cores ({model}), Linux {platform.release()}"
