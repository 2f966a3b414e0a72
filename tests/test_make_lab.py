"""`make lab` where its port is taken and there is no browser."""
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import own_folders

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.skipif(not shutil.which("make") or sys.platform == "win32", reason="no make")
def test_it_takes_another_port_and_prints_where_to_go(tmp_path):
    """The address has a token, is of this computer alone, and opens the first notebook."""
    told = subprocess.run(["make", "--no-print-directory", "-n", "lab"], cwd=ROOT,
                          capture_output=True, text=True, check=True).stdout
    _, *words = shlex.split(told.splitlines()[-1])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = subprocess.Popen(
            [sys.executable, *words, f"--ServerApp.port={port}"], cwd=ROOT, text=True,
            env=os.environ | own_folders(tmp_path) | {"BROWSER": "/no/browser"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            found = next(filter(None, (re.search(
                r"http://127\.0\.0\.1:(\d+)(/\S+)\?token=(\w+)", line) for line in server.stdout)))
        finally:
            server.terminate()
            server.communicate(timeout=30)
    assert int(found[1]) != port and len(found[3]) >= 32
    assert found[2] == "/lab/tree/notebooks/00_start_here.ipynb"
