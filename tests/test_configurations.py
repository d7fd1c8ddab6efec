"""Which strategy the shipped configurations have."""

import re

import pytest
import yaml

from diffclf_lightning.cli import main
from diffclf_lightning.configurations import CONFIGS, shipped_configs

RACE = r"^# To race instead: --model\.strategy Racing --model\.strategy\.max_trials (\d+)$"


def of_the_paper(name):
    return name.startswith(("zero_shot/", "supervised/dit"))


def model_of(name):
    config = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    return config["model"]


def matches(name):
    return name.startswith("composition/") or name == "scenes"


BESIDE = [name for name in shipped_configs() if name.startswith("models/")]
MODELS = [
    name
    for name in shipped_configs()
    if name not in BESIDE and model_of(name)["class_path"].endswith("DiffusionClassifier")
]
DIFFUSION = [name for name in MODELS if not matches(name)]


@pytest.mark.parametrize("name", [name for name in DIFFUSION if not of_the_paper(name)])
def test_what_is_no_table_of_the_paper_races(name):
    strategy = model_of(name)["init_args"]["strategy"]
    named = strategy if isinstance(strategy, str) else strategy["class_path"]
    assert named == "diffclf_lightning.Racing"


@pytest.mark.parametrize("name", [name for name in DIFFUSION if of_the_paper(name)])
def test_a_table_of_the_paper_has_its_stages_and_says_how_to_race_to_the_same_number(name):
    strategy = model_of(name)["init_args"]["strategy"]
    assert strategy["class_path"] == "diffclf_lightning.Staged"
    (trials,) = re.findall(RACE, (CONFIGS / f"{name}.yaml").read_text(), flags=re.MULTILINE)
    assert int(trials) == strategy["init_args"]["trials"][-1]


@pytest.mark.parametrize("name", [name for name in MODELS if matches(name)])
def test_matching_keeps_all_pairs_and_says_how_to_stop_early(name):
    strategy = model_of(name)["init_args"]["strategy"]
    if strategy["class_path"] != "diffclf_lightning.Comparing":
        assert strategy["class_path"] == "diffclf_lightning.Full"
        text = (CONFIGS / f"{name}.yaml").read_text()
        assert "# To stop each example once it is decided: --model.strategy Comparing\n" in text


def test_both_kinds_are_shipped():
    assert {"digits", "digits_shifts", "digits_text", "folder", "folder_text"} <= set(DIFFUSION)
    assert sum(map(of_the_paper, DIFFUSION)) == 10


@pytest.mark.parametrize("name", BESIDE)
def test_a_model_goes_beside_any_zero_shot_set(name, capsys):
    """It brings its denoiser, and leaves the set's prompts and stages as they are."""
    own = model_of("zero_shot/flowers102")["init_args"]
    with pytest.raises(SystemExit):
        main(["test", "--config", "zero_shot/flowers102", "--config", name, "--print_config"])
    merged = yaml.safe_load(capsys.readouterr().out)["model"]["init_args"]
    brought = model_of(name)["init_args"]["denoiser"]["init_args"]
    assert merged["denoiser"]["init_args"].items() >= brought.items()
    assert merged["template"] == own["template"]
    assert merged["strategy"]["init_args"]["trials"] == own["strategy"]["init_args"]["trials"]
    text = (CONFIGS / f"{name}.yaml").read_text()
    assert "Not run by us" in text
    assert f"--config zero_shot/pets --config {name}\n" in text
    assert f"{brought['image_size']:,} pixels" in text or f"{brought['image_size']} pixels" in text


def test_the_models_of_the_page_are_there():
    assert {name.removeprefix("models/") for name in BESIDE} == {
        "sdxl", "sd35", "pixart", "flux1", "sana",
    }  # fmt: skip
