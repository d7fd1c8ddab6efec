"""Sets that several ranks or workers share: no image counts twice, whatever tells it."""

import warnings

import pytest
import torch
from lightning.pytorch import Trainer
from stored_runs import gaussians
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
    get_worker_info,
)

from diffclf_lightning import DiffusionClassifier, InputError, loaders
from diffclf_lightning.evaluation import Full
from diffclf_lightning.ranks import Board
from diffclf_lightning.sharing import Sharing


def names(count, start=0):
    return [f"image-{number}" for number in range(start, start + count)]


def unnamed(count, rank=0):
    return [f"unordered-{rank}-{number}" for number in range(count)]


class Stream(IterableDataset):
    """Images, all of them from every worker or each from one."""

    def __init__(self, images, split):
        self.images, self.split = images, split

    def __iter__(self):
        worker = get_worker_info()
        step = slice(worker.id, None, worker.num_workers) if worker and self.split else slice(None)
        return iter([self.images[index] for index in range(len(self.images))[step]])


def evaluated(loader):
    classifier = DiffusionClassifier(gaussians(), strategy=Full(2))
    trainer = Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`trainer.test` was called|Your `IterableDataset`")
        trainer.test(classifier, loader, verbose=False)
    return classifier.reports["test"].total


@pytest.fixture
def images(seed):
    torch.manual_seed(seed)
    return TensorDataset(torch.rand(9, 1, 4, 4), torch.arange(9) % 3)


def test_workers_that_all_give_the_same_are_refused(images):
    """Each begins with the same batch, which the second one tells."""
    assert evaluated(DataLoader(Stream(images, split=True), batch_size=2, num_workers=2)) == 9
    with pytest.raises(InputError, match=r"workers 0 and 1 of process 0 begin .*get_worker_info"):
        evaluated(DataLoader(Stream(images, split=False), batch_size=2, num_workers=2))


def test_equal_images_of_a_set_in_order_count_each(images):
    once = images.tensors[0][:1].expand(9, 1, 4, 4)
    assert evaluated(DataLoader(TensorDataset(once, torch.zeros(9).long()), batch_size=2)) == 9


def test_batches_of_another_order_are_not_named_by_the_sampler(images):
    """A name would be another image's."""

    class Reversed(BatchSampler):
        def __iter__(self):
            return iter([batch[::-1] for batch in super().__iter__()])

    batches = Reversed(SequentialSampler(images), 2, drop_last=False)
    sharing = loaders.shared(DataLoader(images, batch_sampler=batches), "test", 0)
    assert sharing.indices is None


@pytest.mark.parametrize("sampler", [RandomSampler, WeightedRandomSampler])
def test_drawing_with_replacement_is_refused(images, sampler):
    first = [1.0] * 9 if sampler is WeightedRandomSampler else images
    drawing = sampler(first, num_samples=9, replacement=True)
    with pytest.raises(InputError, match=f"'test' .*{sampler.__name__} with replacement"):
        evaluated(DataLoader(images, batch_size=2, sampler=drawing))
    once = sampler(first, num_samples=9, replacement=False)
    assert evaluated(DataLoader(images, batch_size=2, sampler=once)) == 9


def test_what_a_loader_drops_is_said(images):
    with pytest.warns(UserWarning, match=r"1 of the 9 images of set 'test' are left out"):
        assert evaluated(DataLoader(images, batch_size=2, drop_last=True)) == 8


def of_ranks(monkeypatch, loader, others):
    """What a rank says whose fellows have such loaders."""
    reads = [loaders.Read.of(other) for other in others]
    monkeypatch.setattr(
        loaders, "of_all_ranks", lambda own: [own, *(reads if own is not None else others)]
    )
    return loaders.shared(loader, "x", 0)


@pytest.mark.parametrize(("replicas", "rank"), [(1, 0), (3, 1), (2, 0)])
def test_samplers_for_other_ranks_are_refused(images, monkeypatch, replicas, rank):
    """One for fewer gives images twice, one for more leaves some out, two of a rank are one."""
    made = [
        DataLoader(images, sampler=DistributedSampler(images, replicas, place, shuffle=False))
        for place in (0, rank)
    ]
    with pytest.raises(InputError, match="set 'x'"):
        of_ranks(monkeypatch, made[0], made[1:])


def test_shares_of_a_set_need_keys_and_are_not_shared_again(images, monkeypatch):
    shares = [Subset(images, range(rank, 8, 2)) for rank in (0, 1)]
    sharing = of_ranks(monkeypatch, *[DataLoader(s) for s in shares[:1]], [DataLoader(shares[1])])
    with pytest.raises(InputError, match=r"set 'x' to have a `key`.*2 processes"):
        sharing.check_named(None)
    sharing.check_named(names(2))
    again = [
        DataLoader(share, sampler=DistributedSampler(share, 2, rank))
        for rank, share in enumerate(shares)
    ]
    with pytest.raises(InputError, match="would be missed"):
        of_ranks(monkeypatch, again[0], again[1:])


def test_ranks_that_begin_alike_are_refused_by_name_or_pixels():
    for keys in (names(3), unnamed(3)):
        sharing = Sharing("x", ranks=2)
        sharing.check_first(keys, ["a", "b", "c"])
        sharing._board.put("1/0", sharing._board.read("0/0"))  # as the other rank would
        with pytest.raises(InputError, match="processes 0 and 1 begin with the same"):
            sharing.check_first(names(3, start=3), ["d", "e", "f"])


def test_one_equal_image_is_no_proof():
    sharing = Sharing("x", ranks=2)
    sharing.check_first(unnamed(2), ["a", "a"])
    assert sharing._board.read("0/0") == ""


def test_all_rows_tell_what_no_beginning_does():
    sharing = Sharing("x", ranks=2)
    keys = [*unnamed(4), *unnamed(4, rank=1)]
    with pytest.raises(InputError, match="4 of 8 are others once again"):
        sharing.check_all(keys, [*"abcd", *"cdab"])
    with pytest.warns(UserWarning, match="1 of the 8 images of set 'x' are others once again"):
        sharing.check_all(keys, [*"abcd", *"aefg"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Sharing("x", ranks=2).check_all(keys, [*"abcdefgh"])
        Sharing("x", ranks=2).check_all(names(3), [*"aaa"])
        Sharing("x", ranks=2, repeats=True).check_all([*names(3), *names(1)], [*"abca"])
        Sharing("x", certain=True).check_all(keys, [*"aaaaaaaa"])
    with pytest.warns(UserWarning, match="2 images of set 'x' were evaluated more than once"):
        Sharing("x", ranks=2).check_all([*names(3), *names(2)], [*"abcab"])


def test_a_board_is_read_without_waiting():
    board = Board("x")
    assert board.read("a") is None
    board.put("a", "said")
    assert (board.read("a"), Board("y").read("a")) == ("said", None)
