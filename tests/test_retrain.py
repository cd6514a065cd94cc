"""Training recorded runs anew: what is forged, stale or was never made is caught."""

import json
import shutil
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[1] / "notebooks" / "evidence"
NAME = "study_digits.jsonl"


@pytest.fixture(scope="module")
def evidence():
    """The modules of the evidence, with one small study in place of theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        patch.delenv("EPOCHLAB_SEED", raising=False)
        patch.delenv("EPOCHLAB_WORLDS", raising=False)
        import retrain
        import studies

        grid = {"optimizer": ["sgd"], "n_train": [100], "n_validation": [50], "batch_size": [50]}
        part = studies.Part("digits", grid | {"learning_rate": [0.1]}, epochs=2, curves=True)
        patch.setattr(studies, "STUDIES", {"study": {"digits": part}})
        patch.setattr(studies, "N_SEEDS", {"digits": 5})
        yield retrain, studies
        for name in ("retrain", "studies"):
            del sys.modules[name]


@pytest.fixture(scope="module")
def made(evidence, tmp_path_factory):
    _, studies = evidence
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(studies, "folder", lambda: folder)
        table = studies.table("study", "digits")
    assert len(table) == 10  # five seeds, two epochs
    return folder / NAME


@pytest.fixture
def forge(evidence, made, tmp_path, monkeypatch, capsys):
    """Return a function that changes a copy of the record, and says what retraining says."""
    retrain, studies = evidence
    monkeypatch.setattr(studies, "folder", lambda: tmp_path)

    def forged(change, sample=5):
        shutil.copy(made, tmp_path)
        header, *runs = map(json.loads, made.read_text(encoding="utf-8").splitlines())
        change(header, runs)
        lines = [json.dumps(line) for line in (header, *runs)]
        (tmp_path / NAME).write_text("\n".join(lines) + "\n", encoding="utf-8")
        code = retrain.main(["--sample", str(sample), "--seed", "3"])
        return code, capsys.readouterr().out

    return forged


def on_another_machine(header, runs):
    header["made_by"][0]["device"] = "a processor of long ago, 64 cores"


def test_what_was_trained_here_is_trained_again_bit_for_bit(forge):
    code, said = forge(lambda header, runs: None)
    assert code == 0
    assert "5 runs: 5 the same; on average +0.00 points away." in said


def test_what_another_machine_trained_may_differ_as_much_as_seeds_do(forge):
    def rounded_otherwise(header, runs):
        on_another_machine(header, runs)
        for sign, run in zip([1, -1, 1, -1, 0], runs, strict=True):
            run["test_accuracy"][-1] += sign * 0.004

    code, said = forge(rounded_otherwise)
    assert code == 0
    assert "5 runs: 5 close" in said


def test_one_number_that_is_forged_by_the_last_digit_is_caught(forge):
    def change(header, runs):
        runs[2]["val_loss"][0] += 1e-6

    code, said = forge(change)
    assert code == 1
    assert "seed 2: wrong: other val_loss" in said
    assert "4 the same, 1 wrong" in said


def test_a_number_that_is_forged_by_an_effect_is_caught_on_any_machine(forge):
    def change(header, runs):
        on_another_machine(header, runs)
        runs[1]["test_accuracy"][-1] = 0.99

    code, said = forge(change)
    assert code == 1
    assert "seed 1: wrong: test_accuracy is" in said


def test_a_setting_forged_by_an_effect_is_caught_on_any_machine(forge):
    def change(header, runs):
        on_another_machine(header, runs)
        for run in runs:
            run["test_accuracy"][-1] += 0.5

    code, said = forge(change, sample=1)
    assert code == 1
    assert "wrong: test_accuracy is 50.00 points away" in said


def test_all_numbers_forged_by_little_are_caught_by_their_mean(forge):
    def change(header, runs):
        on_another_machine(header, runs)
        for run in runs:
            run["test_accuracy"][-1] += 0.011

    code, said = forge(change)
    assert code == 1
    assert "5 runs: 5 close; on average -1.10 points away." in said


@pytest.mark.parametrize("key", ["build_model", "data"])
def test_a_digest_that_is_stale_is_caught(forge, key):
    def change(header, runs):
        header[key] = "digits_model 0123456789abcdef"

    code, said = forge(change, sample=1)
    assert code == 1
    assert f"wrong: the record's {key} is stale" in said


def test_another_digest_of_the_data_is_caught(forge):
    def change(header, runs):
        for run in runs:
            run["data_sha256"] = "0123456789ab"

    code, said = forge(change, sample=1)
    assert code == 1
    assert "wrong: other data_sha256" in said


def test_a_run_that_was_never_made_is_caught(forge):
    def invented(header, runs):
        runs[4] = runs[3] | {"seed": 4}

    code, said = forge(invented)
    assert code == 1
    assert "seed 4: wrong: other data_sha256" in said

    def of_no_study(header, runs):
        runs.append(runs[0] | {"seed": 77})
        runs.append(runs[0] | {"learning_rate": 0.3})

    code, said = forge(of_no_study, sample=7)
    assert code == 1
    assert said.count("wrong: no study has this run") == 2


def test_other_lengths_than_the_study_has_are_caught(forge):
    def change(header, runs):
        on_another_machine(header, runs)
        runs[0]["limit"] = "epochs=3"

    code, said = forge(change)
    assert code == 1
    assert "seed 0: wrong: other limit" in said


def test_what_cannot_be_made_here_is_skipped_and_counted(forge, made, evidence, monkeypatch):
    def change(header, runs):
        header["source"] = "MNIST of another world"

    code, said = forge(change, sample=2)
    assert code == 1  # nothing was left
    assert said.count("skipped: the record is of MNIST of another world, here is") == 2
    assert "2 runs: 2 skipped" in said

    _, studies = evidence
    monkeypatch.setitem(studies.STUDIES, "other", studies.STUDIES["study"])
    shutil.copy(made, studies.folder() / "other_digits.jsonl")
    code, said = forge(change, sample=10)
    assert code == 0
    assert "10 runs: 5 skipped, 5 the same" in said


def test_no_records_are_an_error(evidence, tmp_path, monkeypatch):
    retrain, studies = evidence
    monkeypatch.setattr(studies, "folder", lambda: tmp_path)
    assert retrain.main([]) == 1
