"""The page of a study as large as the paper's on CIFAR-10 is under 15 MB with real photographs."""

import json
import lzma
import pickle

import pytest

from samemind.datasets.base import DATASETS
from samemind.execution import LocalProcesses
from samemind.measures import MEASURES, measure
from samemind.measures.choosing import usual_measures
from samemind.reporting import write_report
from samemind.reporting.page import MOST_PICTURE_CHARACTERS, page_of
from samemind.reporting.tables import tables_of
from samemind.study import read_study
from simulated_results import simulated, with_driving_inputs

pytestmark = [pytest.mark.slow, pytest.mark.data]

MOST = 15e6


@pytest.fixture(scope="module")
def photographs(real_data):
    packed = (real_data / "cifar-10-batches-py" / "test_batch.xz").read_bytes()
    held = pickle.loads(lzma.decompress(packed), encoding="latin1")
    images = held["data"].reshape(-1, 3, 32, 32).astype("float32") / 255
    return images, [DATASETS["cifar10"].classes[label] for label in held["labels"]]


def study_of(measures, photographs):
    """28 models and all their pairs, with the driving inputs of every score that has them."""
    plan = read_study("cifar10")
    study = simulated(
        name="cifar10", dataset="cifar10", architectures=plan.architectures,
        epsilons=plan.epsilons, measures=measures,
    )  # fmt: skip
    carriers = [name for name in measures if measure(name).per_input is not None]
    assert len(study.models) == len(plan.checkpoints) == 28
    return with_driving_inputs(study, *photographs, carriers)


def test_the_page_of_the_shipped_study_shows_every_driving_input(photographs, tmp_path):
    measures = (*usual_measures(), "knn_jaccard@100", "knn_jaccard@500")
    study = study_of(measures, photographs)
    assert len(study.contributions.images) > 10_000
    executor = LocalProcesses(2)
    page = write_report(study, tmp_path / "report", executor=executor)
    executor.close()
    assert page.stat().st_size < MOST
    text = page.read_text(encoding="utf-8")
    data = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    assert None not in data["driving"]["tile"]
    assert "Not on this page" not in text
    assert text.count("<img") == len(list((page.parent / "figures").glob("*.png")))


def test_the_page_with_all_measures_stays_within_its_bound(photographs, tmp_path):
    study = study_of(tuple(sorted(MEASURES)), photographs)
    page = page_of(study, tables_of(study), [], [], tmp_path)
    size = len(page.encode()) + MOST_PICTURE_CHARACTERS
    assert size < MOST
