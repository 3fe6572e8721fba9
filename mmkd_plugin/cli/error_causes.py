"""Errors of other packages that are caused by the input."""

from urllib.error import URLError

# Errors of a call whose arguments come from the config.
MISMATCH = (
    r'(?:got an unexpected|got multiple values|missing \d+ required|'
    'takes no arguments)'
)
CORRECT = (
    '{0}: correct the arguments of {1} in the config or in --cfg-options.'
)
# Class, pattern of the message, sentence. `{0}` is the message, `{1}` ... are
# the groups of the pattern.
CAUSES = (
    (
        FileNotFoundError,
        r'(.*?)\.?$',
        '{1}. If the file belongs to the data, name their folder with '
        '--cfg-options data_root=/path/to/data/.',
    ),
    (
        URLError,
        '',
        'A file could not be downloaded ({0}): put it where the last lines '
        'of the log say, or give a local one, for the first weights of the '
        'student with --cfg-options model.backbone.init_cfg.checkpoint=FILE.',
    ),
    (
        KeyError,
        r'^(.*?) ?is not in the (\S+) registry',
        'The type {1!r} is not in the registry {2}: correct the name, or '
        'have the module that registers it imported by `custom_imports` in '
        'the config.',
    ),
    (
        AssertionError,
        r'AmpOptimizerWrapper.*is only available',
        'Training by AmpOptimWrapper, or with --amp, needs a GPU, and PyTorch '
        "finds none: leave it out, or take type='BFloat16OptimWrapper'.",
    ),
    (
        TypeError,
        r"^cfg should be a dict.* but got <class '(.*)'>",
        'A part of the config that MMEngine builds is of type {1}: expected '
        'a dict with `type`; correct the config or --cfg-options.',
    ),
    (
        TypeError,
        r"^type must be a str or valid type, but got <class '(.*)'>",
        'The `type` of a part of the config is of type {1}: expected a name; '
        'correct the config or --cfg-options.',
    ),
    (
        KeyError,
        r'must contain the key "type", but got (.{,200})',
        'A part of the config has no `type`: expected a dict with `type` but '
        'got {1}; correct the config or --cfg-options.',
    ),
    (
        RuntimeError,
        r'^Failed to get (.*)$',
        'The type {1!r} cannot be imported: correct the name, or have the '
        'module that registers it imported by `custom_imports` in the '
        'config.',
    ),
    (TypeError, rf'(\w+)\.__init__\(\) {MISMATCH}', CORRECT),
    # A function that the config names, not a method, which code calls.
    (TypeError, rf'(?:^|[^.\w])(\w+)\(\) {MISMATCH}', CORRECT),
    (
        TypeError,
        r"relative import for '(.*?)(?:\.registry)?'",
        'The type {1!r}... begins with a dot: write the name of a package '
        'before it, or leave the dot out.',
    ),
    (
        TypeError,
        r'keywords must be strings',
        '{0}: a key of a dict in the config is no text; give the arguments '
        'of each part by their names.',
    ),
    (
        SyntaxError,
        r'^Failed to format the config file',
        'The config holds an object that cannot be written as text, as '
        'MMEngine writes every config into the work directory: give names '
        'instead of classes and objects.',
    ),
    (
        AssertionError,
        r'failed to load image: (.*)',
        'The image {1} could not be decoded: it is damaged or no image; '
        'replace it, or take it out of the annotations.',
    ),
    (
        Exception,
        r'OpenCV.*imdecode',
        'An image could not be decoded ({0}): its file is empty; find it by '
        'its size, and replace it or take it out of the annotations.',
    ),
    (
        AssertionError,
        r"Annotation ids in '(.*)' are not unique",
        'The annotation file {1} gives one `id` to several annotations: '
        'number them anew.',
    ),
    (
        RuntimeError,
        r'(No working C\+\+ compiler found|'
        r'Cannot find a working triton installation)',
        'torch.compile cannot work here ({1}): install a C++ compiler, and '
        'Triton for a GPU, or take `compile` out of `teacher` and the config.',
    ),
    (
        RuntimeError,
        r'EADDRINUSE|ddress already in use',
        'The port of the distributed run is in use (MASTER_PORT={port}): '
        'choose another one, PORT=29501 for tools/dist_train.sh.',
    ),
    (
        RuntimeError,
        r'PytorchStreamWriter failed|file write failed',
        'A checkpoint could not be written ({0}): free some space, or choose '
        'another folder with --work-dir.',
    ),
)
