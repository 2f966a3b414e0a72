"""Ready-made texts for the playground: the story of each notebook, in short.

>>> print(STORIES["03 Fork and copy on write"].split("\\n")[0])
# fork copies page tables, and pages are copied by whoever stores first.
"""

from pathlib import Path


def title(stem: str) -> str:
    """The name of a story from that of its file.

    >>> title("01_walk_an_address"), title("one_file")
    ('01 Walk an address', 'One file')
    """
    number, _, rest = stem.partition("_")
    words = (rest if number.isdecimal() else stem).replace("_", " ")
    words = words.replace("hugetlb pmd", "hugetlb PMD")
    return f"{number} {words[0].upper()}{words[1:]}" if number.isdecimal() else \
        words[0].upper() + words[1:]


STORIES = {title(path.stem): path.read_text(encoding="utf-8").rstrip("\n") for path in
           sorted((Path(__file__).parent / "data" / "stories").glob("*.txt"))}
