"""Cut the font of the pictures down to the characters that prompts use, and write it into the package.

    python tools/make_cjk_font.py DroidSansFallbackFull.ttf

The source is DroidSansFallbackFull.ttf (Apache-2.0), for example of the Debian package fonts-droid-fallback. Kept: the
Chinese characters of GB 2312 (simplified) and of the first level of Big5 (traditional), the kanji of the first level of
JIS X 0208, kana, CJK punctuation and full-width forms. Dropped: Latin, which DejaVu Sans draws, and hinting. The same
source gives the same file.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from door import run_tool, tool_parser
from wan.analysis.lettering import CJK_FAMILY, CJK_FONT, FIRST_CJK
from wan.errors import InvalidInput
from wan.flags import Parser
from wan.runs import atomic_path

NAME = "make_cjk_font.py"
# coding, first bytes, second bytes of a character
_TABLES = (
    ("gb2312", range(0xA1, 0xFF), range(0xA1, 0xFF)),
    ("big5", range(0xA4, 0xC7), range(0x40, 0xFF)),
    ("euc_jp", range(0xA1, 0xD0), range(0xA1, 0xFF)),
)
_BLOCKS = (range(0x3000, 0x3100), range(0xFF00, 0xFFF0))  # punctuation and kana; full-width forms
_DROPPED_TABLES = ["GDEF", "GPOS", "GSUB", "vhea", "vmtx"]
_FAMILY_NAMES = {1: CJK_FAMILY, 3: CJK_FAMILY, 4: CJK_FAMILY, 6: CJK_FAMILY.replace(" ", "")}
_DESCRIPTION = "Droid Sans Fallback (Google, 2006), cut down by tools/make_cjk_font.py and named anew"


def main(argv: Sequence[str]) -> None:
    args = build_parser().parse_args(argv)
    source, output = Path(args.source), Path(args.output)
    if not source.is_file():
        raise InvalidInput(f"{source} is not a file: give DroidSansFallbackFull.ttf")
    count = make_font(source, output)
    print(f"{output}: {count:,} characters, {output.stat().st_size / 1e6:.2f} MB")


def build_parser() -> Parser:
    parser = tool_parser(NAME, __doc__)
    parser.add_argument("source", help="DroidSansFallbackFull.ttf")
    parser.add_argument("--output", default=str(CJK_FONT), help="(%(default)s)")
    return parser


def make_font(source: Path, output: Path) -> int:
    """Write the subset; returns how many characters it has."""
    from fontTools import subset

    options = subset.Options()
    options.hinting, options.recalc_timestamp, options.notdef_outline = False, False, True
    options.layout_features, options.name_IDs = [], ["*"]
    options.drop_tables += _DROPPED_TABLES
    font = subset.load_font(str(source), options)
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=wanted_characters())
    subsetter.subset(font)
    for record in font["name"].names:
        record.string = _FAMILY_NAMES.get(record.nameID, record.toUnicode())
    font["name"].setName(_DESCRIPTION, 10, 3, 1, 0x409)
    with atomic_path(output) as temporary:
        subset.save_font(font, str(temporary), options)
    return len(font.getBestCmap())


def wanted_characters() -> set[int]:
    """Code points from the CJK blocks on that the three national tables or the two Unicode blocks have."""
    found = {character for table in _TABLES for character in _decoded(*table)}
    return {code for code in found.union(*_BLOCKS) if code >= FIRST_CJK}


def _decoded(coding: str, first_bytes: Iterable[int], second_bytes: Iterable[int]) -> Iterable[int]:
    second_bytes = tuple(second_bytes)
    for first in first_bytes:
        for second in second_bytes:
            text = bytes([first, second]).decode(coding, errors="ignore")
            if len(text) == 1:
                yield ord(text)


if __name__ == "__main__":
    sys.exit(run_tool(NAME, main))
