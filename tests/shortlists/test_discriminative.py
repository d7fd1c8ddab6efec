"""A shortlist by a network's logits, against the network called directly."""

import pytest
import torch
from PIL import Image
from running import quiet_trainer
from timm.data import create_transform, resolve_model_data_config
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import (
    Candidates,
    DiffusionClassifier,
    DiscriminativeShortlist,
    InputError,
    Racing,
)
from diffclf_lightning.baselines import TimmClassifier
from diffclf_lightning.denoisers import GaussianDenoiser

NAMES = ["ant", "bee", "cat", "dog", "elk", "fox"]
MIXED = ["fox", "cat", "yak", "ant", "elk", "dog", "bee"]
SMALL = {"channels": [8, 8, 8, 8], "layers": [1, 1, 1, 1], "stem_width": 8}


def network(channels=1, names=MIXED):
    return TimmClassifier(
        "resnet10t",
        pretrained=False,
        num_classes=len(names),
        in_chans=channels,
        input_size=32,
        model_args=SMALL,
        network_classes=names,
    )


def logits_of(classifier, images):
    """Logits of grey images by timm's own transform and network, in the order of ``NAMES``."""
    net, channels = classifier.network.eval(), classifier.image_shape[0]
    config = {**resolve_model_data_config(net), "input_size": classifier.image_shape}
    config["mean"], config["std"] = classifier.preprocessing.mean, classifier.preprocessing.std
    transform = create_transform(**config, is_training=False)
    pixels = [Image.fromarray(image[0].numpy()) for image in images]
    with torch.no_grad():
        seen = [transform(image.convert("RGB" if channels == 3 else "L")) for image in pixels]
        logits = net(torch.stack(seen))
    return logits[:, [classifier.network_classes.index(name) for name in NAMES]]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("floating", [False, True])
def test_scores_are_minus_the_logits_of_classes_of_the_same_name(
    channels, floating, denoiser, images, choose, ranked
):
    classifier = network(channels).train()
    shortlist = DiscriminativeShortlist(classifier)
    with pytest.warns(UserWarning, match="weights of resnet10t.* are random"):
        bound = shortlist.bind(choose(denoiser))
    scores, evaluations = ranked(bound, images / 255 if floating else images)
    assert torch.allclose(scores, -logits_of(classifier, images), atol=1e-5)
    assert evaluations.tolist() == [0] * len(images)
    assert bound.evaluations(6) == 0


@pytest.mark.filterwarnings("ignore:The weights of resnet10t")
def test_candidates_of_a_class_share_its_score_and_merged_classes_have_their_own(
    denoiser, images, choose, ranked
):
    classifier = network()
    logits = logits_of(classifier, images)
    several = Candidates([0, 1, 2, 3, 4, 5], [0, 0, 1, 1, 2, 3]).called(NAMES[:4])
    scores, _ = ranked(DiscriminativeShortlist(classifier).bind(choose(denoiser, several)), images)
    assert torch.allclose(scores, -logits[:, [0, 0, 1, 1, 2, 3]], atol=1e-5)
    merged = Candidates.from_class_ids(6).called(NAMES).restrict([0, (5, 2), 3])
    scores, _ = ranked(DiscriminativeShortlist(classifier).bind(choose(denoiser, merged)), images)
    assert torch.allclose(scores, -logits[:, list(merged.conditions)], atol=1e-5)


@pytest.mark.filterwarnings("ignore:The weights of resnet10t")
def test_images_of_the_networks_own_size_go_through_untouched(choose, ranked, seed):
    large = GaussianDenoiser(torch.rand(6, 1, 32, 32) - 0.5)
    classifier = network().eval()
    images = torch.rand(3, 1, 32, 32)
    scores, _ = ranked(DiscriminativeShortlist(classifier).bind(choose(large)), images)
    with torch.no_grad():
        expected = -classifier(images)[:, [MIXED.index(name) for name in NAMES]]
    assert torch.allclose(scores, expected, atol=1e-6)


@pytest.mark.filterwarnings("ignore:The weights of resnet10t")
def test_in_a_run_recall_is_that_of_the_networks_best_classes(denoiser, images, labels):
    first = network()
    classifier = DiffusionClassifier(
        denoiser,
        Racing(max_trials=10),
        classnames=NAMES,
        shortlist=DiscriminativeShortlist(first, keep=2),
    )
    assert not [name for name in classifier.state_dict() if "network" in name or "short" in name]
    assert sum(p.numel() for p in classifier.parameters()) == denoiser.means.numel()
    quiet_trainer().test(
        classifier, DataLoader(TensorDataset(images, labels), batch_size=5), verbose=False
    )
    best = logits_of(first, images).argsort(dim=1, descending=True)
    places = (best == labels[:, None]).int().argmax(dim=1)
    said = classifier.reports["test"].scalars()
    assert said["shortlist_recall"] == pytest.approx(float((places < 2).double().mean()))
    assert said["shortlist_recall_1"] == pytest.approx(float((places < 1).double().mean()))
    (guess,) = classifier.classify([images[0]], NAMES)
    assert guess.label in best[0, :2].tolist()


def test_a_checkpoint_of_fit_is_taken_whole(tmp_path, denoiser, images, choose, ranked):
    trained = network(names=NAMES)
    trainer = quiet_trainer(max_steps=0)
    trainer.strategy.connect(trained)
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    shortlist = DiscriminativeShortlist(str(tmp_path / "last.ckpt"))
    scores, _ = ranked(shortlist.bind(choose(denoiser)), images)  # and nothing is random
    assert torch.allclose(scores, -logits_of(trained, images), atol=1e-5)
    assert shortlist.describe() == DiscriminativeShortlist(trained).describe()
    with torch.no_grad():
        next(shortlist.classifier.network.parameters()).add_(0.1)
    assert shortlist.describe() != DiscriminativeShortlist(trained).describe()


def test_what_is_no_checkpoint_of_a_baseline_is_refused(tmp_path, denoiser):
    said = "`classifier` to be the checkpoint of a baseline"
    with pytest.raises(InputError, match=said):
        DiscriminativeShortlist(tmp_path / "nowhere.ckpt")
    (tmp_path / "text.ckpt").write_text("text")
    with pytest.raises(InputError, match=said):
        DiscriminativeShortlist(tmp_path / "text.ckpt")
    other = DiffusionClassifier(denoiser)
    trainer = quiet_trainer(max_steps=0)
    trainer.strategy.connect(other)
    trainer.save_checkpoint(tmp_path / "other.ckpt")
    with pytest.raises(InputError, match="DiffusionClassifier is no baseline"):
        DiscriminativeShortlist(tmp_path / "other.ckpt")


def test_what_does_not_fit_is_named(denoiser, choose):
    with pytest.raises(InputError, match=r"`classifier` of Disc.* a baseline, .* got Linear"):
        DiscriminativeShortlist(nn.Linear(2, 2))
    with pytest.raises(InputError, match="`keep` of DiscriminativeShortlist to be at least 1"):
        DiscriminativeShortlist(network(), keep=0)
    with pytest.raises(InputError, match=r"but got 'fox' \(nearest"):
        DiscriminativeShortlist(network(names=NAMES[:5])).bind(choose(denoiser))
    with pytest.raises(InputError, match=r"knows class 5 of the data, .* of 5 classes"):
        DiscriminativeShortlist(network(names=NAMES[:5])).bind(choose(denoiser, names=None))
