"""Every error that samemind raises on purpose.

Each says what was asked, what was found and what to do next. The command line prints them
without a traceback; anything that is not one of these is a bug and keeps its traceback.
"""


class SamemindError(Exception):
    """The base of all errors that are meant for the reader of a terminal."""

    def __str__(self) -> str:
        # KeyError (a base of UnknownName) would otherwise show the message in quotes.
        return str(self.args[0]) if self.args else self.__class__.__name__


class UnknownName(SamemindError, KeyError):
    """A measure, architecture, dataset, figure or study that no one registered."""


class InvalidInput(SamemindError, ValueError):
    """Something the caller gave cannot be used: a study file, an array, an option."""


class UnreadableFile(InvalidInput):
    """A file is missing, of another kind than is read, too large, or not what it should hold.

    `reason` says what is wrong without the file's name; `is_missing` is True where there is none.
    """

    is_missing = False

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"{path if len(path) <= 300 else path[:300] + '…'} cannot be read: {reason}."
        )
        self.path = path
        self.reason = reason

    def __reduce__(self):
        return type(self), (self.path, self.reason), {"is_missing": self.is_missing}


class UndefinedScore(SamemindError, ArithmeticError):
    """A measure has no value for these inputs; it says why instead of inventing one."""


class StoreError(SamemindError, OSError):
    """An artifact is missing, damaged or not the one asked for, or cannot be written.

    `cannot_write` is True where nothing else can be written either: a full disk, a read-only one.
    """

    cannot_write = False


class DamagedArtifact(StoreError):
    """An artifact whose content is not what was written; a run builds it again.

    `artifact` is its name and `found` what is wrong with it; `is_set_aside` is False where the
    folder could not be moved out of the way.
    """

    artifact = ""
    found = ""
    is_set_aside = False


class DataError(SamemindError, OSError):
    """A dataset on disk is missing, incomplete or unreadable."""


class CheckpointError(SamemindError, ValueError):
    """A checkpoint cannot be read safely, or does not fit the architecture."""


class TrainingFailed(SamemindError, RuntimeError):
    """Training diverged or stayed at chance; there is no model to compare."""


class MissingExtra(SamemindError, ImportError):
    """An optional dependency is needed; the message names the extra that brings it."""


def reason(error: BaseException) -> str:
    """What an error of someone else says, as a part of a sentence: its first line, without a stop.

    >>> reason(ValueError("no such thing.\\nAnd more"))
    'no such thing'
    """
    said = (str(error).strip() or type(error).__name__).splitlines()[0].strip()
    return said[:300].rstrip(". ")
