"""What Binder's base image holds, as requirements for pip: `python tests/binder_base.py`.

repo2docker puts a frozen environment into every image before it reads environment.yml. The list
comes with it; the one for the Python that runs this is printed.
"""
import importlib.metadata
import re
import sys

# Conda's names of Python packages that the Python package index knows under another.
RENAMED = {"brotli-python": "brotli", "python-fastjsonschema": "fastjsonschema",
           "nbconvert-core": "nbconvert", "jupyterhub-base": "jupyterhub"}
# Parts of the interpreter, and a package that only pulls in another.
NONE = {"python_abi", "cpython", "python-gil", "_python_abi3_support", "jupyterhub-singleuser"}
# Its file names are those of a package: name-version-build, built for one Python or for all.
PACKAGE = re.compile(r"/([^/]+)-([^-/]+)-(?:py|h)[^-/]*\.(?:conda|tar\.bz2)")


def requirements(lock):
    """The requirements that a frozen environment comes to.

    >>> requirements("https://host/noarch/nbconvert-core-7.16.6-pyh29332c3_0.conda#sha")
    ['nbconvert==7.16.6']
    >>> requirements("https://host/linux-64/python_abi-3.12-8_cp312.conda#sha")
    []
    """
    found = [(name, version) for line in lock.splitlines() if "-py" in line
             for name, version in PACKAGE.findall(line) if name not in NONE]
    return [f"{RENAMED.get(name, name)}=={version}" for name, version in found]


def frozen(python):
    """The text of repo2docker's frozen environment for *python*, such as "3.12"."""
    files = importlib.metadata.files("jupyter-repo2docker")
    name = f"environment.py-{python}-linux-64.lock"
    return next(file.read_text() for file in files if file.name == name)


if __name__ == "__main__":
    print(*requirements(frozen("%d.%d" % sys.version_info[:2])), sep="\n")
