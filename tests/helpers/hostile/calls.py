"""What attacks call, and the ways in which a pickle can call."""

import pickle

from tests.helpers.hostile.writing import Raw, call, data, named


def targets(proof, script):
    """Module, name and arguments of what would leave a trace.

    Args:
        proof (str): A file that would be made.
        script (str): A Python file that would make it.
    """
    touch = f'touch {proof}'
    text = f'open({proof!r}, "w").close()'
    model = dict(type='os.system', command=touch)
    nested = b'cposix\nsystem\n' + data((touch,)) + b'R.'
    return [
        ('posix', 'system', touch),
        ('os', 'system', touch),
        ('nt', 'system', touch),
        ('os', 'popen', touch),
        ('os', 'mkdir', proof),
        ('os', 'putenv', 'PATH', '/nowhere'),
        ('os', 'kill', 1, 0),
        ('posix', '_exit', 0),
        ('os', 'rename', script, proof),
        ('os', 'execv', '/bin/touch', ['touch', proof]),
        ('os.path', 'os.system', touch),
        ('subprocess', 'call', ['touch', proof]),
        ('subprocess', 'run', ['touch', proof]),
        ('subprocess', 'Popen', ['touch', proof]),
        ('subprocess', 'check_output', ['touch', proof]),
        ('subprocess', 'getoutput', touch),
        ('__builtin__', 'eval', text),
        ('builtins', 'eval', text),
        ('builtins', 'exec', text),
        ('builtins', 'compile', text, 'x', 'exec'),
        ('builtins', 'open', proof, 'w'),
        ('builtins', '__import__', 'antigravity'),
        ('builtins', 'breakpoint'),
        ('builtins', 'input', 'name'),
        ('builtins', 'setattr', Raw(named('torch', 'Tensor')), 'add', 1),
        ('builtins', 'globals'),
        ('builtins', 'help', 'os'),
        ('io', 'open', proof, 'w'),
        ('_io', 'open', proof, 'w'),
        ('_io', 'FileIO', proof, 'w'),
        ('codecs', 'open', proof, 'w'),
        ('codecs', 'decode', b'x', 'rot13'),
        ('pathlib', 'Path.touch', proof),
        ('pathlib', 'Path', proof),
        ('importlib', 'import_module', 'antigravity'),
        ('runpy', 'run_path', script),
        ('runpy', '_run_code', text, {}),
        ('code', 'interact'),
        ('pty', 'spawn', ['touch', proof]),
        ('shutil', 'copy', script, proof),
        ('shutil', 'rmtree', proof),
        ('tempfile', 'mkdtemp', '', '', proof),
        ('zipfile', 'ZipFile', proof, 'w'),
        ('tarfile', 'open', proof, 'w'),
        ('gzip', 'open', proof, 'w'),
        ('sqlite3', 'connect', proof),
        ('shelve', 'open', proof),
        ('dbm', 'open', proof, 'c'),
        ('logging', 'FileHandler', proof),
        ('logging.config', 'fileConfig', script),
        ('multiprocessing', 'Process'),
        ('threading', 'Thread'),
        ('signal', 'alarm', 1),
        ('signal', 'signal', 15, 1),
        ('sys', 'exit', 0),
        ('sys', 'setrecursionlimit', 10),
        ('gc', 'disable'),
        ('resource', 'setrlimit', 2, (1, 1)),
        ('random', 'seed', 5),
        ('warnings', 'simplefilter', 'error'),
        ('time', 'sleep', 60),
        ('socket', 'create_connection', ('127.0.0.1', 9)),
        ('urllib.request', 'urlopen', 'http://127.0.0.1:9'),
        ('webbrowser', 'open', 'http://127.0.0.1:9'),
        ('ctypes', 'CDLL', 'libc.so.6'),
        ('ctypes', 'string_at', 0),
        ('pickle', 'loads', nested),
        ('_pickle', 'loads', nested),
        ('marshal', 'loads', b'i\x01\x00\x00\x00'),
        ('types', 'FunctionType', Raw(named('types', 'CodeType')), {}),
        ('types', 'CodeType', 0),
        ('types', 'ModuleType', 'os'),
        ('functools', 'partial', Raw(named('posix', 'system')), touch),
        ('functools', 'reduce', Raw(named('posix', 'system')), [touch]),
        ('operator', 'methodcaller', 'touch'),
        ('operator', 'attrgetter', '__class__.__base__'),
        ('timeit', 'timeit', text),
        ('pdb', 'run', text),
        ('cProfile', 'run', text),
        ('pip', 'main', ['download', 'x']),
        ('torch', 'save', 1, proof),
        ('torch', 'load', script),
        ('torch.serialization', 'load', script),
        ('torch.storage', '_load_from_bytes', nested),
        ('torch.hub', 'load', script, 'x', 'local'),
        ('torch.jit', 'load', script),
        ('torch', 'from_file', proof, True, 4),
        ('torch', 'set_default_dtype', Raw(named('torch', 'float64'))),
        ('torch', 'manual_seed', 5),
        ('torch', 'set_num_threads', 7),
        ('torch', 'UntypedStorage.from_file', proof, True, 4),
        ('torch', 'UntypedStorage._new_shared_filename', 'a', 'b', 4),
        ('torch.ops', 'load_library', script),
        ('torch.utils.cpp_extension', 'load', 'x', script),
        ('torch.multiprocessing', 'spawn', 1),
        ('torch.nn.modules.module', 'register_module_forward_hook', 1),
        ('torch.nn', 'Linear', 10**9, 10**9),
        ('torch', 'ones', 10**10),
        ('numpy', 'memmap', proof, 'uint8', 'w+', 0, (4,)),
        ('numpy', 'save', proof, [1]),
        ('numpy', 'savetxt', proof, [1]),
        ('numpy', 'load', script),
        ('numpy', 'fromfile', script),
        ('numpy', 'zeros', 10**11),
        ('numpy', 'seterr', 'raise'),
        ('numpy.core.multiarray', 'set_string_function', 1),
        ('numpy.f2py', 'compile', text),
        ('mmengine.config.config', 'Config.fromstring', text, '.py'),
        ('mmengine.config.config', 'Config.fromfile', script),
        ('mmengine.config', 'Config.fromfile', script),
        ('mmengine.registry.root', 'MODELS.build', model),
        ('mmengine.registry', 'build_from_cfg', model),
        ('mmengine.fileio.io', 'put_text', 'x', proof),
        ('mmengine.fileio', 'dump', [1], proof),
        ('mmengine.utils', 'import_modules_from_strings', ['antigravity']),
        ('mmengine.runner.checkpoint', '_load_checkpoint', script),
        ('mmengine.logging.history_buffer', 'HistoryBuffer.update', 1),
        ('collections', 'OrderedDict.fromkeys', [1]),
        ('datetime', 'datetime.now'),
        ('torch._utils', '_import_dotted_name', 'os.system'),
        ('yaml', 'unsafe_load', f'!!python/object/apply:os.system [{touch}]'),
    ]


def _object(module, name, *args):
    return Raw(b'(' + named(module, name) + b''.join(map(data, args)) + b'o')


def _instance(module, name, *args):
    return Raw(
        b'(' + b''.join(map(data, args)) + f'i{module}\n{name}\n'.encode()
    )


def _new(module, name, *args):
    return Raw(named(module, name) + data(args) + b'\x81')


def _new_ex(module, name, *args):
    return Raw(named(module, name) + data(args) + b'}\x92')


def _stacked(module, name, *args):
    return Raw(data(module) + data(name) + b'\x93' + data(args) + b'R')


def _looked_up(module, name, *args):
    owner, _, last = f'{module}.{name}'.rpartition('.')
    found = call('builtins', 'getattr', call('builtins', '__import__', owner),
                 last)  # fmt: skip
    return Raw(found.code + data(args) + b'R')


def _reconstructed(module, name, *args):
    return call(
        'copyreg',
        '_reconstructor',
        Raw(named(module, name)),
        Raw(named('builtins', 'object')),
        args[0] if args else None,
    )


def _as_hooks(module, name, *args):
    storage = Raw(
        data(('storage', Raw(named('torch', 'FloatStorage')), '0', 'cpu', 1))
        + b'Q'
    )
    hooks = call(module, name, *args)
    return call('torch._utils', '_rebuild_tensor_v2', storage, 0, (1,), (1,),
                False, hooks)  # fmt: skip


def _as_id(module, name, *args):
    kind = call(module, name, *args)
    return Raw(data(('storage', kind, '0', 'cpu', 1)) + b'Q')


def _as_module_id(module, name, *args):
    kind = call(module, name, *args)
    return Raw(data(('module', kind, 'a.py', 'text')) + b'Q')


def _as_factory(module, name, *args):
    return call('collections', 'defaultdict', Raw(named(module, name)))


def _as_statistic(module, name, *args):
    owner = named('mmengine.logging.history_buffer', 'HistoryBuffer')
    methods = dict(min=Raw(named(module, name)))
    state = dict(max_length=1, _statistics_methods=methods)
    return Raw(owner + b')\x81' + data(state) + b'b')


def _extension(module, name, *args):
    return Raw(b'\x82\x01' + data(args) + b'R')


WAYS = dict(
    reduce=call,
    object=_object,
    instance=_instance,
    newobj=_new,
    newobj_ex=_new_ex,
    stack_global=_stacked,
    getattr=_looked_up,
    reconstructor=_reconstructed,
    hooks=_as_hooks,
    persistent_id=_as_id,
    module_id=_as_module_id,
    factory=_as_factory,
    statistic=_as_statistic,
    extension=_extension,
)
assert pickle.EXT1 == b'\x82'
