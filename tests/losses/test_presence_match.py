import pytest
import torch

from losses.consistency import ConfidentLabels
from losses.masked import MaskedBCE
from losses.presence_match import PresenceMatch
from losses.weighted_sum import WeightedSum
from partial_labels.batch import HUMAN, UNKNOWN
from partial_labels.head import SigmoidHead


def cells(*rows):
    return torch.tensor(rows, dtype=torch.bool)


def test_trust_is_how_often_the_teacher_finds_a_class_of_how_often_people_do():
    match = PresenceMatch(decay=0.5)
    match.begin(torch.tensor([1.0, 0.5, 0.8, 0.0, 0.25]))
    assert match.trust(5).tolist() == [0, 0, 0, 1, 0]  # nobody ever found the fourth: silence is all there is
    for _ in range(30):
        match.update(cells([1, 1, 0, 0, 1], [1, 0, 0, 0, 1], [1, 0, 1, 0, 1], [1, 0, 0, 0, 1]), torch.ones(4, 5) > 0)
    assert match.found[:5].tolist() == pytest.approx([1, 0.25, 0.25, 0, 1])
    assert match.trust(5).tolist() == pytest.approx([1, 0.5, 0.3125, 1, 1])


def test_the_average_moves_by_the_cells_that_the_teacher_was_asked_about():
    match = PresenceMatch(decay=0.75)
    asked = cells([1, 1, 0], [1, 0, 0])
    match.update(cells([1, 1, 1], [0, 1, 1]), asked)
    assert match.found[:3].tolist() == pytest.approx([0.25 * 0.5, 0.25, 0])
    match.update(cells([1, 0, 1], [1, 1, 1]), asked)
    assert match.found[:3].tolist() == pytest.approx([0.75 * 0.125 + 0.25, 0.75 * 0.25, 0])


def test_an_absence_is_believed_as_often_as_it_is_trusted():
    match = PresenceMatch()
    match.begin(torch.tensor([0.5, 0.5, 0.5]))
    match.found[:3] = torch.tensor([0.0, 0.15, 0.6])
    share = match.believed(20_000, 3).float().mean(dim=0)
    assert share[0] == 0 and share[2] == 1
    assert share[1].item() == pytest.approx(0.3, abs=0.02)


def matched(shares):
    loss = WeightedSum({"bce": MaskedBCE()}, {"bce": 1.0})
    consistency = ConfidentLabels(loss, threshold=0.9, absences="matched")
    consistency.begin(lambda: torch.tensor(shares))
    return consistency


def felt(consistency, batch, teacher):
    """Return which cells the student is told something of."""
    logits = torch.zeros(len(teacher), teacher.shape[1] - 1, *teacher.shape[2:], requires_grad=True)
    consistency(logits, teacher, batch, SigmoidHead()).backward()
    return (logits.grad.abs().amax(dim=(2, 3)) > 0).tolist()


def test_a_class_is_not_silenced_before_the_teacher_has_learnt_it(make_batch):
    batch = make_batch(images=2, classes=3, statuses=(UNKNOWN,), odd=False)
    teacher = torch.zeros(2, 3, 6, 8)
    teacher[:, 0], teacher[0, 0, :2], teacher[0, 1, :2] = 1.0, 0.0, 1.0  # class 1 in the first image, class 2 nowhere
    consistency = matched([1.0, 0.5, 0.5])
    consistency.match.found.zero_()
    assert felt(consistency, batch, teacher)[0] == [True, False]
    assert felt(consistency, batch, teacher)[1][1] is False
    consistency.match.found[:3] = torch.tensor([1.0, 0.9, 0.9])
    assert felt(consistency, batch, teacher) == [[True, True], [True, True]]


def test_what_people_examined_is_not_counted_as_the_teachers_finding(make_batch):
    batch = make_batch(images=2, classes=3, statuses=(HUMAN,), odd=False)
    batch.status[1, 1:] = UNKNOWN
    batch.label[:] = 0
    batch.label[0] = 1
    teacher = torch.zeros(2, 3, 6, 8)
    teacher[0, 1], teacher[1, 2] = 1.0, 1.0
    consistency = matched([1.0, 0.5, 0.5])
    felt(consistency, batch, teacher)
    assert consistency.match.found[1:3].tolist() == pytest.approx([0, 0.01])


def test_numbers_and_words_that_mean_nothing_are_refused(unchecked_shapes):
    with pytest.raises(ValueError, match="decay=1: must lie in"):
        PresenceMatch(decay=1)
    with pytest.raises(ValueError, match="absences=sometimes: choose true, false or matched"):
        ConfidentLabels(WeightedSum({"bce": MaskedBCE()}, {"bce": 1.0}), absences="sometimes")
