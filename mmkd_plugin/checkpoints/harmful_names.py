"""Names of code, which a file with data has no reason to contain."""

# Functions, and modules with everything in them.
CODE = frozenset(
    """
    _ctypes _imp _io.FileIO _io.open _io.open_code _operator.attrgetter
    _operator.methodcaller _pickle _posixsubprocess asyncio atexit bdb
    builtins.__import__ builtins.breakpoint builtins.compile builtins.delattr
    builtins.eval builtins.exec builtins.exit builtins.getattr
    builtins.globals builtins.help builtins.input builtins.locals
    builtins.open builtins.quit builtins.setattr builtins.vars cProfile
    cloudpickle code codecs codeop ctypes dill fcntl ftplib functools.reduce
    http.client http.server imp importlib io.FileIO io.open joblib
    linecache.getlines logging.config marshal mmap
    mmengine.config.Config.fromfile mmengine.config.Config.fromstring
    mmengine.config.config.Config.fromfile
    mmengine.config.config.Config.fromstring mmengine.fileio mmengine.registry
    mmengine.runner mmengine.utils multiprocessing nt numpy.ctypeslib
    numpy.f2py numpy.fromfile numpy.genfromtxt numpy.lib numpy.load
    numpy.loadtxt numpy.memmap numpy.save numpy.savetxt numpy.savez
    operator.attrgetter operator.methodcaller os pdb pickle pip pkgutil posix
    posixpath pty pydoc runpy setuptools shelve shutil site smtplib socket
    socketserver ssl subprocess sys tempfile timeit
    torch.UntypedStorage.from_file torch._C._cuda_attach torch._dynamo
    torch._inductor torch.classes torch.from_file torch.hub torch.jit
    torch.load torch.multiprocessing torch.ops torch.package torch.save
    torch.serialization.load torch.serialization.save
    torch.storage.UntypedStorage.from_file torch.storage._load_from_bytes
    torch.utils.cpp_extension torch.utils.model_zoo types.CodeType
    types.FunctionType types.LambdaType types.MethodType types.ModuleType
    urllib.request venv webbrowser xmlrpc yaml.full_load yaml.load
    yaml.unsafe_load zipimport
    """.split()  # noqa: SIM905
)


def names_code(full: str) -> bool:
    """Whether a full name is that of code, which no data needs.

    A file with such a name is an attack and is refused; other unknown names
    are kept as text.
    """
    parts = full.split('.')[:8]
    return any('.'.join(parts[:n]) in CODE for n in range(1, len(parts) + 1))
