"""Compare two models of timm on a folder of pictures.

    python examples/compare_timm_models_on_a_folder.py [FOLDER] [MODEL MODEL]

Without arguments it cuts a folder of pictures out of scikit-learn's two photographs and takes two
very small networks with random weights, so that it runs anywhere in seconds. With your own folder
and models the published weights are used, as far as they are on this machine.
"""

import sys
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_sample_image

from samemind.inputs.images import open_images
from samemind.networks.opening import Loading, open_models
from samemind.own_models import compare_models

SMALL_MODELS = ["timm:test_resnet", "timm:test_vit"]


def pictures_of_two_photographs(folder: Path, side: int = 100) -> Path:
    """Squares cut from a photograph of a temple and one of a flower, a class folder each."""
    for name in ("china", "flower"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        photograph = Image.fromarray(load_sample_image(f"{name}.jpg"))
        corners = [(x, y) for x in range(0, 600, side) for y in range(0, 400, side)]
        for number, (x, y) in enumerate(corners):
            square = photograph.crop((x, y, x + side, y + side))
            square.save(folder / name / f"{number:02d}.png")
    return folder


def main(arguments: list[str]) -> None:
    folder = Path(arguments[0]) if arguments else pictures_of_two_photographs(Path("pictures"))
    names = [f"timm:{name}" for name in arguments[1:]] or SMALL_MODELS
    loading = Loading(has_random_weights=not arguments[1:])

    found = compare_models(open_models(names, loading), open_images(str(folder)))
    columns = ["measure", "score", "standard_error", "floor_p95"]
    print(found.scores[columns].to_string(index=False, float_format="{:.3f}".format))

    beyond = found.scores[found.scores["score"] > found.scores["floor_p95"]]
    print(f"\nAbove what shuffled inputs reach: {', '.join(beyond['measure']) or 'nothing'}")
    widths = found.models.set_index("model")["representation_size"].to_dict()
    print(f"Widths of the representations: {widths}")


if __name__ == "__main__":
    main(sys.argv[1:])
