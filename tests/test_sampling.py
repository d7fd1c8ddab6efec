import pytest
from torch.utils.data import DataLoader, DistributedSampler, RandomSampler

from diffclf_lightning.sampling import named_loaders, sample_indices


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


def test_names_of_loaders():
    assert named_loaders("a", "test") == {"test": "a"}
    assert named_loaders(["a"], "test") == {"test": "a"}
    assert named_loaders(["a", "b"], "test") == {"test_0": "a", "test_1": "b"}
    assert named_loaders({"x": "a"}, "test") == {"x": "a"}
