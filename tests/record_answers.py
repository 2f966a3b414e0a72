"""Ask this computer's kernel all scenarios of notebook 11 anew, and write mmlib/data/answers.json.

Run it as root with at least 16 free huge pages (sysctl vm.nr_hugepages=24); without them what was
recorded of hugetlb files stays.
"""
import json
from contextlib import nullcontext, suppress

import nbformat

from mmlib import BusError, answers, judge, worlds

NOTEBOOK = answers.RECORDING.parents[2] / "notebooks" / "11_ask_your_own_kernel.ipynb"


def run_notebook(ask):
    """Run the code of the notebook with *ask* in the place of `judge.ask`."""
    names, before, judge.ask = {}, judge.ask, ask
    try:
        for cell in nbformat.read(NOTEBOOK, as_version=4).cells:
            meant = "raises-exception" in cell.metadata.get("tags", ())
            with suppress(BusError) if meant else nullcontext():
                exec(cell.source if cell.cell_type == "code" else "", names)
    finally:
        judge.ask = before


def recorded_anew():
    """The recording that this computer's kernel gives."""
    old, answer = answers.recording(), judge.ask
    new = {"recorded_on": worlds.recorded_on(), "answers": {}}

    def ask(scenario, on="here", *, huge_pages=0):
        if on == "here" or huge_pages and not judge.refusal(huge_pages):
            new["answers"] |= judge.record(scenario, huge_pages=huge_pages)
        elif huge_pages:
            new["answers"] |= {key: entry for key, entry in old["answers"].items()
                               if entry["scenario"] == scenario.__name__}
        return answer(scenario, "recorded" if on == "here" else on, huge_pages=huge_pages)

    answers.recording = judge.recording = lambda: new
    run_notebook(ask)
    return new


def main():
    new = recorded_anew()
    answers.RECORDING.write_text(json.dumps(new, indent=1) + "\n", encoding="ascii")
    print(f"{len(new['answers'])} scenarios recorded on Linux {new['recorded_on']['kernel']}")


if __name__ == "__main__":
    main()
