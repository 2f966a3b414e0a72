"""What comes from outside runs nothing, takes no more memory than it may, and asks no network."""
import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import hostile
import pytest

import mmlib

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(mmlib.__file__).parent
NETWORK = {"socket", "ssl", "http", "urllib", "ftplib", "smtplib", "asyncio", "requests", "httpx"}
LINE = PACKAGE / "linux" / "line.py"
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="no limits and no alarm")


def played(inputs):
    """What came of so many malformed inputs, in a process of its own with little memory."""
    run = subprocess.run([sys.executable, ROOT / "tests" / "hostile.py", f"--inputs={inputs}"],
                         capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@posix_only
@pytest.mark.parametrize("inputs", [500, pytest.param(12_000, marks=pytest.mark.slow)])
def test_no_input_does_more_than_it_may(inputs):
    """Each ends in a result or in one line; no program, no network, no file but the image asked
    for, and memory stays below the bound."""
    came = played(inputs)
    assert came["broken"] == [] and came["files"] == []
    assert sum(came["counts"].values()) == inputs
    kinds = {line.split(":")[0] for line in came["counts"]}
    assert kinds == {kind.__name__ for kind in hostile.KINDS}
    assert came["counts"]["a_file: exit status 2"] > inputs / 3
    assert came["peak_mib"] < hostile.MEMORY >> 20


@posix_only
@pytest.mark.parametrize("code", ["import os; os.system('true')", "compile('1', 'x', 'eval')",
                                  "import socket; socket.socket()",
                                  "import subprocess; subprocess.run(['true'])"])
def test_the_watch_would_see_it(code):
    """The hook that the test above relies on stops each of these."""
    watch = ("import sys, socket, subprocess, hostile; hostile.FORBID = False; "
             "sys.addaudithook(hostile.forbid); made = compile(sys.argv[1], 'x', 'exec'); "
             "hostile.FORBID = True; exec(made)")
    run = subprocess.run([sys.executable, "-c", watch, code], cwd=ROOT / "tests",
                         env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert "hostile.Broke: an input caused" in run.stderr


def test_nothing_in_the_package_can_ask_the_network():
    """No module for it is imported; processes of one computer talk through a socketpair."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else \
                [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            asked = {name.split(".")[0] for name in names} & NETWORK
            assert not asked or path == LINE and asked == {"socket"}, path
    assert set(re.findall(r"(?<!\.)\bsocket\.([a-z_]+)\(", LINE.read_text())) == {
        "socketpair", "send_fds"}


def test_nothing_in_the_package_runs_text_as_code():
    """Neither eval nor exec nor pickle; a shell is never asked."""
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        called = {node.func.id for node in ast.walk(tree)
                  if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
        assert not called & {"eval", "exec", "compile", "__import__"}, path
        assert not re.search(r"\bpickle\b|\bmarshal\b|shell=True", ast.unparse(tree)), path


def test_what_runs_in_the_page_fetches_nothing():
    """Scripts and styles of the views name no address but that of SVG, and do not ask for one."""
    files = [*PACKAGE.rglob("*.js"), *PACKAGE.rglob("*.css")]
    assert files
    for path in files:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?:|\bfetch\(|XMLHttpRequest|WebSocket|@import|\burl\(|\beval\(|"
                             r"new Function|importScripts|sendBeacon", text), path


def test_jupyterlab_is_left_as_closed_as_it_comes():
    """`make lab` neither opens it to other computers nor takes its token away."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert not re.search(r"--(\w+\.)?(ip|token|password|allow_remote_access|disable_check_xsrf|"
                         r"allow_origin)\b", text)
