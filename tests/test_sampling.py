import numpy as np
import pytest
import torch
from lightning.fabric.utilities.distributed import DistributedSamplerWrapper
from lightning.pytorch.overrides.distributed import UnrepeatedDistributedSamplerWrapper
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    RandomSampler,
    SequentialSampler,
)

from diffclf_lightning.sampling import Drawn, named_loaders, sample_indices


@pytest.mark.parametrize("images", [1, 2, 7, 8, 20])
@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
@pytest.mark.parametrize("shuffle", [False, True])
def test_ranks_share_the_images_once_each(images, ranks, shuffle):
    seen = []
    for rank in range(ranks):
        sampler = DistributedSampler(range(images), ranks, rank, shuffle=shuffle)
        loader = DataLoader(range(images), batch_size=2, sampler=sampler)
        indices = sample_indices(loader)
        given = [int(i) for batch in loader for i in batch]
        assert all(i in (-1, g) for i, g in zip(indices, given, strict=True))
        seen += [i for i in indices if i >= 0]
    assert sorted(seen) == list(range(images))


def test_plain_order_is_the_data_sets_and_a_random_one_is_unknown():
    assert sample_indices(DataLoader(range(5), batch_size=2)) == [0, 1, 2, 3, 4]
    assert sample_indices(DataLoader(range(5), sampler=RandomSampler(range(5)))) is None
    assert sample_indices(iter([1])) is None


@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor])
def test_a_list_of_indices_is_an_order(kind):
    assert sample_indices(DataLoader(range(5), sampler=kind([3, 1, 4]))) == [3, 1, 4]


def test_what_batches_drop_does_not_come():
    loader = DataLoader(range(5), batch_size=2, drop_last=True)
    assert sample_indices(loader) == [0, 1, 2, 3]


def test_an_order_of_the_users_making_is_unknown():
    class Backwards(SequentialSampler):
        def __iter__(self):
            return iter(range(len(self.data_source))[::-1])

    class Chunks(DistributedSampler):
        def __iter__(self):
            return iter(range(self.rank * 3, self.rank * 3 + 3))

    named = {"a": 0, "b": 1}
    assert sample_indices(DataLoader(range(5), sampler=Backwards(range(5)))) is None
    assert sample_indices(DataLoader(range(6), sampler=Chunks(range(6), 2, 1))) is None
    assert sample_indices(DataLoader(named, sampler=["a", "b"])) is None
    assert sample_indices(DataLoader(range(5), batch_size=None)) is None
    batches = BatchSampler(Backwards(range(5)), 2, drop_last=False)
    assert sample_indices(DataLoader(range(5), batch_sampler=batches)) is None


@pytest.mark.parametrize(
    "wrapper", [DistributedSamplerWrapper, UnrepeatedDistributedSamplerWrapper]
)
def test_an_order_that_was_drawn_is_kept(wrapper, seed):
    """Ranks that take one order share the images, where each would draw its own."""
    torch.manual_seed(seed)
    seen, first = [], None
    for rank in range(3):
        sampler = wrapper(RandomSampler(range(20)), num_replicas=3, rank=rank, shuffle=False)
        loader = DataLoader(range(20), batch_size=2, sampler=sampler)
        assert sample_indices(loader) is None
        drawn = Drawn.of(loader)
        first = first or drawn.order()
        drawn.fix(first)
        indices = sample_indices(loader)
        for _ in range(2):
            given = [int(i) for batch in loader for i in batch]
            assert all(i in (-1, g) for i, g in zip(indices, given, strict=True))
        seen += [i for i in indices if i >= 0]
    assert sorted(seen) == list(range(20))


def test_names_of_loaders():
    assert named_loaders("a", "test") == {"test": "a"}
    assert named_loaders(["a"], "test") == {"test": "a"}
    assert named_loaders(["a", "b"], "test") == {"test_0": "a", "test_1": "b"}
    assert named_loaders({"x": "a"}, "test") == {"x": "a"}
