"""What the package raises on purpose.

Its message is one sentence on what was got, what was expected and what to
do, and a command ends with that sentence.  All else that is raised is a
mistake, of the package or of others, and shows its traceback.
"""


class MMKDError(Exception):
    """Something is wrong with the input, and the message says what to do.

    A loss, tap or hook of your own may raise it, or one of the classes
    below, which can be caught by the name of Python's own class too.
    """


class MMKDValueError(MMKDError, ValueError):
    """A value is not one that is expected."""


class MMKDTypeError(MMKDError, TypeError):
    """An object is of a kind that is not expected."""


class MMKDOSError(MMKDError, OSError):
    """The machine does not give what is needed."""


class MMKDFileNotFoundError(MMKDOSError, FileNotFoundError):
    """A file or folder is not there."""


class MMKDRuntimeError(MMKDError, RuntimeError):
    """Something went wrong while training."""


class MMKDImportError(MMKDError, ImportError):
    """A package is missing, or is of a version that does not do."""
