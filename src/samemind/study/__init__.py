"""A study: what to compare, read from TOML or built in Python, and its stages in order."""

from samemind.study.grid import Stage as Stage
from samemind.study.grid import Study as Study
from samemind.study.reading import read_study as read_study
from samemind.study.reading import shipped_studies as shipped_studies
from samemind.study.reading import study_path as study_path
