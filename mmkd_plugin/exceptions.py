"""The exceptions that the package raises on purpose.

The message is one sentence on what was got, what was expected and what to
do, and a command ends with that sentence.  Any other exception is a bug, of
the package or of another one, and shows its traceback.
"""


class MMKDError(Exception):
    """The input is invalid, and the message says what to do.

    Your own loss, tap or hook may raise it, or one of the classes below,
    which can also be caught as the built-in class of Python.
    """


class MMKDValueError(MMKDError, ValueError):
    """A value is invalid."""


class MMKDTypeError(MMKDError, TypeError):
    """An object has the wrong type."""


class MMKDOSError(MMKDError, OSError):
    """The system does not provide what is needed."""


class MMKDFileNotFoundError(MMKDOSError, FileNotFoundError):
    """A file or folder is missing."""


class MMKDRuntimeError(MMKDError, RuntimeError):
    """Something went wrong while training."""


class MMKDImportError(MMKDError, ImportError):
    """A package is missing, or its version is not supported."""
