import subprocess

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from runs.quoting import typed_argument


@pytest.mark.parametrize(
    "path", ["/a/b-1.2", "/my runs/1", "/ä=b,c", "/it's", '/a"$x`!', "a\\b", "a(b) [c]", "a\\'b\\"]
)
def test_what_is_printed_to_be_typed_comes_through_shell_and_grammar(path):
    typed = typed_argument("resume", path)
    word = subprocess.run(["bash", "-c", f"printf %s {typed}"], capture_output=True, text=True, check=True).stdout
    assert OverridesParser.create().parse_override(word).value() == path
