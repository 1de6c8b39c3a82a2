import pytest

from partial_labels.classes import ClassTable
from partial_labels.errors import InputError


def test_tables_are_joined_by_name():
    one = ClassTable.from_foreground(["liver", "kidney_left"])
    two = ClassTable.from_foreground(["spleen", "Kidney_Left", "kidney_right"])
    joined = ClassTable.joined([one, two])
    assert joined.names == ("background", "liver", "kidney_left", "spleen", "kidney_right")
    assert joined.pairs == ((2, 4),) and joined.colors[:3] == one.colors and joined.colors[3] == two.colors[1]
    assert ClassTable.joined([two, ClassTable.from_foreground(["spleen"])]) is two
    with pytest.raises(InputError, match="without a common class"):
        ClassTable.joined([one, ClassTable.from_foreground(["brain"])])
