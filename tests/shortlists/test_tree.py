"""The descent of a tree against plain loops, on models whose mixtures are known."""

import pytest
import tiny
import torch
from running import quiet_trainer
from torch.utils.data import DataLoader, TensorDataset

from diffclf_lightning import (
    AutoDenoiser,
    Candidates,
    DiffusionClassifier,
    Full,
    InputError,
    Racing,
    TreeShortlist,
)
from diffclf_lightning.denoisers import StableDiffusion
from diffclf_lightning.evaluation import GoldenGrid, NoiseBank, TrialSource, evaluate, get_loss

NAMES = ["ant", "bee", "cat", "dog", "elk", "fox"]
PAIRS = {"insects": ["ant", "bee"], "pets": ["cat", "dog"], "wild": ["elk", "fox"]}
UNEVEN = {
    "insects": ["bee", "ant"],
    "others": {"elk": None, "pets": {"cat": None, "dog": None}},
    "fox": None,
}
TRIALS = 5


@pytest.mark.parametrize("width", [1, 2])
def test_two_levels_by_hand(denoiser, images, choose, ranked, by_hand, width):
    shortlist = TreeShortlist(PAIRS, width=width, trials=TRIALS).bind(choose(denoiser))
    scores, evaluations = ranked(shortlist, images)
    x_0, means = denoiser.encode(images), denoiser.means.detach()
    pairs = torch.stack(
        [by_hand(denoiser, x_0, means[2 * i : 2 * i + 2].mean(dim=0), TRIALS) for i in range(3)]
    )
    for image in range(len(images)):
        onward = pairs[:, image].argsort()[:width].tolist()
        for c, mean in enumerate(means):
            alone = by_hand(denoiser, x_0[image : image + 1], mean, TRIALS)
            expected = alone if c // 2 in onward else torch.tensor([torch.inf])
            assert torch.allclose(scores[image, c], expected, rtol=1e-4)
    assert evaluations.unique().tolist() == [(3 + 2 * width) * TRIALS]
    assert shortlist.evaluations(6) == (3 + 2 * width) * TRIALS


def test_leaves_of_any_level_are_scored_and_nodes_that_all_go_on_are_not_evaluated(
    denoiser, images, choose, ranked, by_hand
):
    shortlist = TreeShortlist(UNEVEN, width=2, trials=TRIALS).bind(choose(denoiser))
    scores, evaluations = ranked(shortlist, images)
    x_0 = denoiser.encode(images)
    for c, mean in enumerate(denoiser.means.detach()):
        assert torch.allclose(scores[:, c], by_hand(denoiser, x_0, mean, TRIALS), rtol=1e-4)
    assert evaluations.unique().tolist() == [6 * TRIALS]


def test_restricted_sets_descend_the_tree_of_their_labels(
    denoiser, images, choose, ranked, by_hand
):
    """Pairs with one label left are no nodes; of merged labels each class is its own leaf."""
    every = Candidates.from_class_ids(6).called(NAMES)
    part = every.restrict([0, 1, (5, 2), 3])
    shortlist = TreeShortlist(PAIRS, width=1, trials=TRIALS).bind(choose(denoiser, part))
    assert shortlist._nodes.names == ["insects", "ant", "bee", "pets", "cat", "dog", "fox"]
    scores, _ = ranked(shortlist, images)
    x_0 = denoiser.encode(images)
    fox = by_hand(denoiser, x_0, denoiser.means.detach()[5], TRIALS)
    assert torch.allclose(scores[:, part.conditions.index(5)], fox, rtol=1e-4)
    lone = TreeShortlist(PAIRS).bind(choose(denoiser, every.restrict([4])))
    assert ranked(lone, images)[0].isfinite().all()


def test_candidates_that_are_not_allowed_make_no_image_descend(denoiser, images, choose, ranked):
    shortlist = TreeShortlist(PAIRS, width=1, trials=2).bind(choose(denoiser))
    allowed = torch.zeros(len(images), 6, dtype=torch.bool)
    allowed[:, 2:4] = True
    allowed[0] = True
    scores, evaluations = ranked(shortlist, images, allowed)
    assert scores[1:, 2:4].isfinite().all()
    assert scores[1:, [0, 1, 4, 5]].isinf().all()
    assert evaluations.tolist() == [10] + [4] * (len(images) - 1)


@pytest.mark.parametrize("name", ["diffclf/digits-dit", "diffclf/digits-text"])
def test_a_flat_tree_is_the_errors_of_all_candidates(name, seed, choose, ranked):
    """Mixtures of one are the candidates themselves, in models that embed in their own ways."""
    denoiser = AutoDenoiser.from_pretrained(name)
    words = ["zero", "one", "two"]
    prompts = [f"the number {word}" for word in words]
    candidates = Candidates(range(3) if denoiser.num_classes else prompts, range(3)).called(words)
    choice = choose(denoiser, candidates)
    images = torch.randint(256, (3, *denoiser.image_shape), dtype=torch.uint8)
    shortlist = TreeShortlist({"digits": words}, trials=3).bind(choice)
    scores, _ = ranked(shortlist, images)
    source = TrialSource(GoldenGrid(), NoiseBank(0), (3,), denoiser.sample_shape)
    strategy = Full(3).bind(3, source.ends)
    table = evaluate(
        denoiser, denoiser.encode(images), choice.conditioning, source(images), strategy,
        [get_loss("l2")],
    )  # fmt: skip
    assert torch.allclose(scores, table["l2"].means.float(), rtol=1e-4)


@pytest.mark.parametrize("template", [None, "a drawing of {}"])
def test_what_a_model_of_prompts_is_told_of_nodes(template, choose, seed):
    """The mean of the states of all prompts below, or the states of its own prompt."""
    pipeline = tiny.stable_diffusion_pipeline("epsilon")
    parts = (pipeline.unet, pipeline.scheduler, pipeline.text_encoder, pipeline.tokenizer)
    denoiser = StableDiffusion(*parts, pipeline.vae).eval()
    prompts = [f"{kind} {name}" for name in NAMES for kind in ("a", "the")]
    candidates = Candidates(prompts, [i // 2 for i in range(12)]).called(NAMES)
    shortlist = TreeShortlist(PAIRS, template=template).bind(choose(denoiser, candidates))
    mixtures, names = shortlist._mixtures, shortlist._nodes.names
    told = mixtures.told.mixed(mixtures.weights)["encoder_hidden_states"]

    def states(*texts):
        return denoiser.condition(texts)["encoder_hidden_states"].mean(dim=0)

    pets = ["a cat", "the cat", "a dog", "the dog"] if template is None else ["a drawing of pets"]
    assert torch.allclose(told[names.index("pets")], states(*pets), atol=1e-5)
    assert torch.allclose(told[names.index("fox")], states("a fox", "the fox"), atol=1e-5)


def test_through_a_trainer_and_without_one(denoiser, images, labels):
    shortlist = TreeShortlist(PAIRS, keep=2, width=1, trials=4)
    classifier = DiffusionClassifier(
        denoiser, Racing(max_trials=20), classnames=NAMES, shortlist=shortlist
    )
    loader = DataLoader(TensorDataset(images, labels), batch_size=5)
    (out,) = quiet_trainer().predict(classifier, DataLoader(TensorDataset(images, labels), 12))
    quiet_trainer().test(classifier, loader, verbose=False)
    report = classifier.reports["test"]
    reached = out["shortlist_scores"].isfinite()
    assert reached.sum(dim=1).tolist() == [2] * 12
    true = reached.gather(1, labels[:, None]).double().mean()
    assert report.scalars()["shortlist_recall"] == pytest.approx(float(true))
    assert out["scores"].isfinite().equal(reached)
    guesses = classifier.classify(list(images), NAMES)
    assert [guess.label for guess in guesses] == out["prediction"].tolist()
    denoiser.classnames = NAMES
    assert classifier.classify(images[0], ["dog", "ant", "bee"]).name in {"dog", "ant", "bee"}


def test_what_decides_is_described(tmp_path):
    one, same, other = TreeShortlist(PAIRS), TreeShortlist(dict(PAIRS)), TreeShortlist(UNEVEN)
    assert one.describe() == same.describe() != other.describe()
    for changed in ({"width": 2}, {"trials": 3}, {"template": "a {}"}):
        assert TreeShortlist(PAIRS, **changed).describe() != one.describe()


def test_wrong_arguments_are_named(denoiser, choose):
    with pytest.raises(InputError, match="`width` of TreeShortlist to be at least 1, but got 0"):
        TreeShortlist(PAIRS, width=0)
    with pytest.raises(InputError, match="`trials` of TreeShortlist to be at least 1"):
        TreeShortlist(PAIRS, trials=0)
    with pytest.raises(InputError, match=r"place \{\} for the class name, but got 'a'"):
        TreeShortlist(PAIRS, template="a")
    with pytest.raises(InputError, match=r"`tree` knows, but got 'elk'"):
        TreeShortlist({"insects": ["ant", "bee"], "pets": ["cat", "dog", "fox"]}).bind(
            choose(denoiser)
        )
    with pytest.raises(InputError, match="class names for the leaves of TreeShortlist"):
        TreeShortlist(PAIRS).bind(choose(denoiser, names=None))
    with pytest.raises(InputError, match="leave out `template`"):
        TreeShortlist(PAIRS, template="a {}").bind(choose(tiny.unet(6)))


def test_on_the_command_line_a_run_goes_on_with_the_same_tree_alone(diffclf, tmp_path):
    (tmp_path / "tree.yaml").write_text(
        "loops: [zero, six, eight, nine]\nopen: [one, two, three, four, five, seven]\n"
    )
    shortlist = "--model.shortlist"
    command = ["test", "--config", "digits", "--data.num_test=4", "--model.strategy=Racing"]
    command += ["--results.folder=run", f"{shortlist}=TreeShortlist"]
    command += [f"{shortlist}.tree=tree.yaml", f"{shortlist}.width=1", f"{shortlist}.trials=3"]
    assert "kept" in diffclf(*command).stdout
    diffclf(*command)
    (tmp_path / "tree.yaml").write_text(
        "loops: [zero, six, eight]\nopen: [one, two, three, four, five, seven, nine]\n"
    )
    assert "shortlist" in diffclf(*command, code=2).stderr
