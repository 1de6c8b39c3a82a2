import pytest
import torch

from losses.consistency import ConfidentLabels, DiceConsistency, KLConsistency, MSEConsistency
from losses.masked import MaskedBCE, MaskedDice
from losses.weighted_sum import WeightedSum
from partial_labels.batch import HUMAN, IGNORE, UNKNOWN, UNSURE
from partial_labels.head import SigmoidHead, SoftmaxHead

HEADS = {"sigmoid": SigmoidHead(), "softmax": SoftmaxHead()}
DISTANCES = {
    "mse": (MSEConsistency(), lambda s, t: (s - t) ** 2),
    "kl": (KLConsistency(), lambda s, t: t * (t / s).log() + (1 - t) * ((1 - t) / (1 - s)).log()),
}


def pair(make_batch, make_logits, head, seed=0):
    batch = make_batch(seed)
    channels = head.channels(batch.status.shape[1])
    teacher = head.probs(make_logits(batch, channels, seed=seed + 50, scale=1.0)).detach()
    return batch, make_logits(batch, channels, seed=seed + 9, scale=1.0), teacher


def asked(batch, image, class_id, row, column):
    """Say whether two networks may be compared at an entry, one question after the other."""
    label, status = int(batch.label[image, row, column]), batch.status[image]
    if label == IGNORE:
        return False
    if label == UNSURE:
        return int(status[class_id]) != HUMAN
    if label > 0 and int(status[label]) == HUMAN:
        return False
    return int(status[class_id]) == UNKNOWN


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize("name", DISTANCES)
@pytest.mark.parametrize("seed", range(3))
def test_it_is_the_mean_over_the_entries_that_nobody_decided(make_batch, make_logits, head, name, seed):
    loss, distance = DISTANCES[name]
    batch, logits, teacher = pair(make_batch, make_logits, head, seed)
    student = head.probs(logits).detach()
    total, count = 0.0, 0
    for image in range(len(batch.label)):
        for class_id in range(1, batch.status.shape[1]):
            for row in range(batch.label.shape[1]):
                for column in range(batch.label.shape[2]):
                    if asked(batch, image, class_id, row, column):
                        place = (image, class_id, row, column)
                        total += float(distance(student[place], teacher[place]))
                        count += 1
    assert count
    assert loss(logits, teacher, batch, head).item() == pytest.approx(total / count, rel=1e-4)


@pytest.mark.parametrize("loss", [MSEConsistency(), KLConsistency(), DiceConsistency()], ids=lambda x: type(x).__name__)
@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_it_is_zero_where_the_networks_agree_and_falls_by_descent(make_batch, make_logits, loss, head):
    batch, logits, teacher = pair(make_batch, make_logits, head)
    assert loss(logits, head.probs(logits).detach(), batch, head).item() == pytest.approx(0, abs=1e-5)
    before = loss(logits, teacher, batch, head)
    before.backward()
    assert loss(logits - 10 * logits.grad, teacher, batch, head) < before


@pytest.mark.parametrize("loss", [MSEConsistency(), KLConsistency(), DiceConsistency()], ids=lambda x: type(x).__name__)
def test_what_a_human_decided_feels_nothing(make_batch, make_logits, loss):
    batch, logits, teacher = pair(make_batch, make_logits, SigmoidHead())
    loss(logits, teacher, batch, SigmoidHead()).backward()
    human = (batch.status[:, 1:] == HUMAN)[:, :, None, None].expand_as(logits)
    assert human.any() and float(logits.grad[human].abs().max()) == 0
    everything = batch._replace(status=torch.full_like(batch.status, HUMAN))
    assert loss(logits, teacher, everything, SigmoidHead()).item() == 0


def test_dice_asks_a_rare_class_as_loudly_as_a_common_one(make_batch):
    batch = make_batch(images=1, classes=3, statuses=(UNKNOWN,), odd=False)
    teacher = torch.zeros(1, 3, 6, 8)
    teacher[0, 1, :, :7], teacher[0, 2, 0, 7] = 1.0, 1.0
    head, silent = SigmoidHead(), -20.0
    losses = []
    for missing in (0, 1):
        logits = torch.where(teacher[:, 1:] > 0, 20.0, silent)
        logits[:, missing] = silent
        losses.append(float(DiceConsistency(smooth=1e-3)(logits, teacher, batch, head)))
    assert losses == pytest.approx([0.5, 0.5], abs=1e-2)


def test_confident_labels_train_the_cells_that_the_teacher_fills_and_no_others(make_batch, make_logits):
    terms = WeightedSum({"bce": MaskedBCE(), "dice": MaskedDice()}, {"bce": 1.0, "dice": 1.0})
    head = SigmoidHead()
    batch = make_batch(3, statuses=(UNKNOWN, HUMAN))
    channels = head.channels(batch.status.shape[1])
    logits = make_logits(batch, channels)
    teacher = head.probs(make_logits(batch, channels, seed=5, scale=6.0)).detach()
    ConfidentLabels(terms, 0.9)(logits, teacher, batch, head).backward()
    filled = (batch.status[:, 1:] == UNKNOWN)[:, :, None, None]
    sure = (teacher.amax(dim=1) >= 0.9)[:, None] & (batch.label == 0)[:, None]
    human_class = (batch.label > 0) & (batch.label < UNSURE)
    touched = logits.grad != 0
    assert touched.any()
    assert not touched[(~filled).expand_as(touched)].any()
    assert not touched[(filled & ~sure & ~human_class[:, None]).expand_as(touched)].any()
    assert touched[(filled & sure).expand_as(touched) & (teacher[:, 1:] > 0.9)].any()


def test_a_teacher_that_is_never_sure_teaches_nothing(make_batch, make_logits):
    terms = WeightedSum({"bce": MaskedBCE()}, {"bce": 1.0})
    batch = make_batch(statuses=(UNKNOWN,), odd=False)
    logits = make_logits(batch, batch.status.shape[1])
    teacher = torch.full_like(SoftmaxHead().probs(logits), 1 / batch.status.shape[1])
    head = SoftmaxHead()
    assert MSEConsistency()(logits, teacher, batch, head).item() > 0
    sigmoid_logits = logits[:, 1:]
    assert ConfidentLabels(terms, 0.9)(sigmoid_logits, teacher, batch, SigmoidHead()).item() == 0


def test_numbers_out_of_range_are_refused():
    terms = WeightedSum({"bce": MaskedBCE()}, {"bce": 1.0})
    with pytest.raises(ValueError, match=r"threshold=1\.5: must lie in \(0, 1\]"):
        ConfidentLabels(terms, 1.5)
    with pytest.raises(ValueError, match=r"epsilon=0\.5"):
        KLConsistency(0.5)
    with pytest.raises(ValueError, match="smooth=0"):
        DiceConsistency(0.0)


def test_without_absences_a_class_that_the_teacher_sees_nowhere_feels_nothing(make_batch):
    batch = make_batch(images=2, classes=3, statuses=(UNKNOWN,), odd=False)
    teacher = torch.zeros(2, 3, 6, 8)
    teacher[:, 0], teacher[0, 0, :2], teacher[0, 1, :2] = 1.0, 0.0, 1.0  # class 1 in the first image, class 2 nowhere
    for absences, feeling in ((True, [[True, True], [True, True]]), (False, [[True, False], [False, False]])):
        logits = torch.zeros(2, 2, 6, 8, requires_grad=True)
        loss = WeightedSum({"bce": MaskedBCE(), "dice": MaskedDice()}, {"bce": 1.0, "dice": 1.0})
        ConfidentLabels(loss, threshold=0.9, absences=absences)(logits, teacher, batch, SigmoidHead()).backward()
        assert (logits.grad.abs().amax(dim=(2, 3)) > 0).tolist() == feeling
