"""A class on JupyterHub, as docs/jupyterhub.md sets it up: `make hub` (as root, on Linux).

Learners start servers, run a notebook by the kernel protocol and save it; one does so in a browser.
Then everything is tried that must not lose work or show it to others. Accounts exist only in a
mount namespace of this run, everything listens on loopback, and all of it ends with this program.
"""
import argparse
import json
import os
import re
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import websocket

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = "course/notebooks/03_fork_and_copy_on_write.ipynb"
UID = 21000
SMALL_DISK = "size=40m"                 # of the last learner


# accounts of this run alone --------------------------------------------------------------------
def enter_namespace():
    """Start this program again where /etc/passwd and its like can be replaced unseen."""
    if "--inside" not in sys.argv:
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private",
                              sys.executable, *sys.argv, "--inside"])


def add_accounts(names, password, folder):
    """Accounts in the group learners; homes of their own, mode 700; the last on a small disk."""
    hashed = subprocess.run(["openssl", "passwd", "-6", password], capture_output=True, text=True,
                            check=True).stdout.strip()
    rows = {"passwd": [], "shadow": [], "group": [f"learners:x:{UID}:{','.join(names)}"]}
    for number, name in enumerate(names, 1):
        home = folder / "home" / name
        home.mkdir(parents=True)
        if name == names[-1]:
            subprocess.run(["mount", "-t", "tmpfs", "-o", SMALL_DISK, "tmpfs", home], check=True)
        os.chown(home, UID + number, UID + number)
        home.chmod(0o700)
        rows["passwd"].append(f"{name}:x:{UID + number}:{UID + number}::{home}:/bin/bash")
        rows["group"].append(f"{name}:x:{UID + number}:")
        rows["shadow"].append(f"{name}:{hashed}:20000:0:99999:7:::")
    for name, lines in rows.items():
        real, own = Path("/etc", name), folder / name
        shutil.copy2(real, own)
        with own.open("a") as out:
            out.write("\n".join(lines) + "\n")
        subprocess.run(["mount", "--bind", own, real], check=True)


# the hub ---------------------------------------------------------------------------------------
class Hub:
    """A JupyterHub of the configuration in docs/jupyterhub.md, on a port of this run."""

    def __init__(self, folder, venv, node, port):
        self.url, self.token = f"http://127.0.0.1:{port}", secrets.token_hex(16)
        text = (ROOT / "docs" / "jupyterhub.md").read_text(encoding="utf-8")
        config = re.search(r"(?ms)^```python\n(c = get_config.*?)^```", text)[1]
        config = config.replace('"http://127.0.0.1:8000"', repr(self.url)) + f"""
c.Spawner.args = ["--LabApp.expose_app_in_browser=True"]
c.JupyterHub.hub_port = {port + 1}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{port + 2}"
c.JupyterHub.services = [dict(name="test", api_token={self.token!r})]
c.JupyterHub.load_roles = [dict(name="test", services=["test"], scopes=[
    "admin:users", "admin:servers", "access:servers", "tokens"])]
"""
        (folder / "jupyterhub_config.py").write_text(config)
        self.log = folder / "hub.log"
        path = f"{venv}/bin:{node}:{os.environ['PATH']}"
        clean = {name: os.environ[name] for name in os.environ.keys() - {"PYTHONPATH"}}
        self.process = subprocess.Popen(
            [f"{venv}/bin/jupyterhub"], cwd=folder, env=clean | {"PATH": path},
            stdout=self.log.open("w"), stderr=subprocess.STDOUT)
        deadline = time.monotonic() + 90
        while True:
            try:
                self.ask("GET", "/hub/api/")
                return
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    sys.exit("JupyterHub did not start:\n" + self.log.read_text())
                time.sleep(0.2)

    def ask(self, method, path, body=None, token=None):
        """The JSON that an API answers; urllib's HTTPError where it refuses."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method, headers={
            "Authorization": f"token {token or self.token}", "Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=300) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def end(self):
        """Servers of learners too: the hub stops them when it is told to end."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()


class Learner:
    """One learner: a server, a kernel, and what the API of the server tells."""

    def __init__(self, hub, name):
        self.hub, self.name, self.base = hub, name, f"/user/{name}"

    def start(self):
        """Seconds until the server answers."""
        began = time.perf_counter()
        self.hub.ask("POST", f"/hub/api/users/{self.name}")
        self.hub.ask("POST", f"/hub/api/users/{self.name}/server")
        while not self.hub.ask("GET", f"/hub/api/users/{self.name}")["servers"].get(
                "", {}).get("ready"):
            if time.perf_counter() - began > 200:
                raise RuntimeError(f"the server of {self.name} did not start")
            time.sleep(0.25)
        self.token = self.hub.ask("POST", f"/hub/api/users/{self.name}/tokens", {})["token"]
        return time.perf_counter() - began

    def api(self, method, path, body=None):
        return self.hub.ask(method, f"{self.base}/api/{path}", body, self.token)

    def begin(self, notebook=NOTEBOOK):
        """A kernel for the notebook, and the connection to it."""
        kernel = {"path": notebook, "name": notebook, "type": "notebook",
                  "kernel": {"name": "python3"}}
        self.kernel = self.api("POST", "sessions", kernel)["kernel"]["id"]
        self.socket = websocket.create_connection(
            f"{self.hub.url.replace('http', 'ws')}{self.base}/api/kernels/{self.kernel}/channels",
            header=[f"Authorization: token {self.token}"], timeout=120)

    def execute(self, code):
        """Run code; (text of all outputs, the name of an exception or None)."""
        own, out, failed = uuid.uuid4().hex, [], None
        self.socket.send(json.dumps({
            "channel": "shell", "parent_header": {}, "metadata": {}, "buffers": [],
            "header": {"msg_id": own, "msg_type": "execute_request", "session": own,
                       "username": self.name, "version": "5.3"},
            "content": {"code": code, "silent": False, "store_history": True,
                        "user_expressions": {}, "allow_stdin": False, "stop_on_error": False}}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("parent_header", {}).get("msg_id") != own:
                continue
            kind, content = message["header"]["msg_type"], message["content"]
            if kind == "stream":
                out.append(content["text"])
            elif kind in ("execute_result", "display_data"):
                out.append(content["data"].get("text/plain", ""))
            elif kind == "error":
                failed = content["ename"]
            elif kind == "status" and content["execution_state"] == "idle":
                return "".join(out), failed

    def work(self):
        """Run the notebook and save it; (seconds to run, cells that differ from the course's)."""
        began, differ = time.perf_counter(), []
        document = self.api("GET", f"contents/{NOTEBOOK}")["content"]
        self.begin()
        for cell in document["cells"]:
            if cell["cell_type"] != "code":
                continue
            source = "".join(cell["source"])
            out, failed = self.execute(source)
            if out != recorded(cell) or failed:
                differ.append(cell["id"])
        document["cells"][0]["source"] = f"# The notebook of {self.name}"
        self.save(document)
        return time.perf_counter() - began, differ

    def save(self, document, notebook=NOTEBOOK):
        return self.api("PUT", f"contents/{notebook}",
                        {"type": "notebook", "format": "json", "content": document})


def recorded(cell):
    """What `execute` should return for a cell of the course."""
    texts = [output["text"] if output["output_type"] == "stream" else
             output.get("data", {}).get("text/plain", "") for output in cell["outputs"]]
    return "".join(map("".join, texts))


def memory(uid):
    """Bytes of memory that the processes of a user take, shared pages counted in proportion."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.stat().st_uid == uid:
                found = re.search(r"(?m)^Pss: +(\d+)", (folder / "smaps_rollup").read_text())
                total += int(found[1]) * 1024
        except (OSError, TypeError):    # it has ended meanwhile
            pass
    return total


# what must not happen --------------------------------------------------------------------------
def nobody_sees_others(one, other, folder):
    """Neither by the other's server nor by reading the disk from one's own kernel."""
    try:
        one.hub.ask("GET", f"{other.base}/api/contents/{NOTEBOOK}", token=one.token)
        return "FAILED: one's token opens another's server"
    except urllib.error.HTTPError as refused:
        code = refused.code
    _, failed = one.execute(f"open({str(folder / 'home' / other.name / NOTEBOOK)!r}).read()")
    return f"server: HTTP {code}; disk: {failed}" if code in (403, 404) and \
        failed == "PermissionError" else f"FAILED: HTTP {code}, {failed}"


def killed_kernel(learner, folder):
    """The file is as it was saved, and a new kernel runs."""
    file = folder / "home" / learner.name / NOTEBOOK
    before = file.read_bytes()
    pid, _ = learner.execute("import os; print(os.getpid())")
    os.kill(int(pid), signal.SIGKILL)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            learner.socket.close()
            learner.begin()
            again, failed = learner.execute("import os; print(os.getpid())")
            if not failed and again != pid:
                break
        except (OSError, websocket.WebSocketException, urllib.error.HTTPError):
            time.sleep(1)
    else:
        return "FAILED: no new kernel"
    return "the saved file is whole, a new kernel came" if file.read_bytes() == before else \
        "FAILED: the file has changed"


def full_disk(learner, folder):
    """A save is refused with a reason, and the last one is still there."""
    home = folder / "home" / learner.name
    before = (home / NOTEBOOK).read_bytes()
    document = learner.api("GET", f"contents/{NOTEBOOK}")["content"]
    _, failed = learner.execute("open('fill', 'wb').write(bytes(1 << 30))")
    document["cells"][0]["source"] = "x" * 2_000_000
    try:
        learner.save(document)
        return "FAILED: it was saved"
    except urllib.error.HTTPError as refused:
        told = json.loads(refused.read())["message"]
    if (home / NOTEBOOK).read_bytes() != before:
        return "FAILED: the old file is gone"
    learner.execute("import os; os.remove('fill')")
    learner.save(document)
    return f"refused ({failed} in the kernel; '{told[-60:]}'), the file is whole; saved after " \
        "making room"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", type=Path, required=True, help="has jupyterhub and mmlib[lab]")
    parser.add_argument("--node", type=Path, required=True, help="has configurable-http-proxy")
    parser.add_argument("--learners", type=int, default=30)
    parser.add_argument("--at-once", type=int, default=5, help="how many do the same together")
    parser.add_argument("--port", type=int, default=8920)
    parser.add_argument("--screenshot", type=Path)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not 4 <= args.learners <= 99:
        parser.error(f"--learners {args.learners}: from 4, since each of four has a part, to 99")
    enter_namespace()
    check_that_learners_may_use(args.venv.resolve() / "bin" / "python")
    folder, password = Path(tempfile.mkdtemp(prefix="class-")), secrets.token_hex(8)
    folder.chmod(0o755)
    names = [f"learner{number:02}" for number in range(1, args.learners + 1)]
    add_accounts(names, password, folder)
    hub = Hub(folder, args.venv.resolve(), args.node.resolve(), args.port)
    try:
        sys.exit(lesson(hub, names, password, folder, args))
    finally:
        hub.end()
        subprocess.run(["umount", folder / "home" / names[-1]])
        shutil.rmtree(folder, ignore_errors=True)


def check_that_learners_may_use(python):
    """Without this, every server ends at once, and the hub says no more than error 500."""
    try:
        subprocess.run([python, "-c", "import mmlib"], user=UID, group=UID, cwd="/", check=True)
    except (PermissionError, subprocess.CalledProcessError):
        sys.exit(f"a learner cannot use {python} ({python.resolve()}): is a folder on the way "
                 f"to it closed to others, as /root is?  Try: make hub PY=/usr/bin/python3")


def lesson(hub, names, password, folder, args):
    """All of it, and what came of it; the exit status."""
    learners, failures = [Learner(hub, name) for name in names], []

    def attempt(call):
        try:
            return call()
        except Exception as why:        # a failure is a figure here
            failures.append(f"{type(why).__name__}: {why}")
            return None

    with ThreadPoolExecutor(args.at_once) as pool:
        began = time.perf_counter()
        ready = [s for s in pool.map(attempt, [one.start for one in learners]) if s]
        tell("servers ready", f"{len(ready)} of {len(names)}, {args.at_once} at a time, "
             f"in {time.perf_counter() - began:.0f} s")
        tell("seconds to a ready server", spread(ready))
        began = time.perf_counter()
        worked = [w for w in pool.map(attempt, [one.work for one in learners]) if w]
    tell("notebook 03 run and saved", f"{len(worked)} of {len(names)} in "
         f"{time.perf_counter() - began:.0f} s")
    if failures:
        sys.exit("\n".join([*failures, hub.log.read_text()[-4000:]]))
    tell("seconds to run and save it", spread([seconds for seconds, _ in worked]))
    tell("outputs unlike the course's", sum(len(differ) for _, differ in worked))
    used = [memory(UID + number) / 2**20 for number in range(1, len(names) + 1)]
    tell("MiB a learner, server and kernel", spread(used))
    saved = [json.loads((folder / "home" / name / NOTEBOOK).read_text())["cells"][0]["source"]
             for name in names]
    tell("saved files that are their learner's own", sum(
        f"# The notebook of {name}" in "".join(text) for name, text in zip(names, saved)))
    checks = {"another's files": nobody_sees_others(learners[0], learners[1], folder),
              "a kernel killed in the middle": killed_kernel(learners[1], folder),
              "a full disk": full_disk(learners[-1], folder)}
    if args.screenshot:
        from hub_browser import in_browser
        checks |= in_browser(hub, learners[2], password, NOTEBOOK, folder, args.screenshot)
    for what, came in checks.items():
        tell(what, came)
    tell("failures", sum("FAILED" in came for came in checks.values()))
    return "FAILED" in str(checks)


def spread(values):
    return f"median {statistics.median(values):.1f}, worst {max(values):.1f}" if values else "none"


def tell(what, came):
    print(f"| {what} | {came} |", flush=True)


if __name__ == "__main__":
    main()
