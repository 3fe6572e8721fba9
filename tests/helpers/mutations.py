"""Hook configs that somebody might have written by mistake."""

import copy

TEACHER = dict(
    config='teacher.py',
    checkpoint='teacher.pth',
    prefix='',
    trust_checkpoint=False,
    precision='same',
    channels_last=None,
    fuse_bn=True,
    compile=False,
    classes=['cat', 'dog', 'owl'],
)
LOSSES = dict(
    loss_kd=dict(type='KDLoss', tau=2.0, loss_weight=1.0, standardize=True),
    loss_dkd=dict(type='DKDLoss', alpha=1.0, beta=2.0, tau=1.0),
    loss_rld=dict(type='RLDLoss', tau_scd=1.0, tau_mcd=4.0, beta=8.0),
    loss_ckd=dict(
        type='CKDLoss',
        gather=False,
        same_class_negatives=True,
        tau=1.0,
        loss_weight=1.0,
    ),
    loss_dist=dict(type='DISTLoss', beta=1.0, gamma=1.0, tau=1.0),
)
WHEN = dict(warmup=1, begin=0, end=3, by_epoch=True)
REST = dict(
    evaluate_teacher=False,
    min_metric=None,
    on_nonfinite='raise',
    log_prefix='kd',
)


def good(rng, kind):
    """Hooks that train."""
    tap = dict(type='ClsHeadTap')
    if kind == 'detector':
        tap = dict(type='RoIHeadTap', background_weight=0.5)
    hooks = (
        dict(
            type='DistillHook', teacher=TEACHER, losses=LOSSES, tap=tap,
            **WHEN, **REST,
        ),
        dict(
            type='CKDHook', teacher=[TEACHER, TEACHER], tau=0.5,
            loss_weight=10.0, gather=False, **REST,
        ),
        dict(
            type='RLDHook', teacher=TEACHER, alpha=1.0, beta=0.25,
            tau_scd=1.0, standardize=False, loss_weight=1, **WHEN,
        ),
    )  # fmt: skip
    others = [dict(type='ChannelsLastHook'), dict(type='ExactResumeHook')]
    return copy.deepcopy([rng.choice(hooks), *rng.sample(others, 1)])


POOL = (
    *(None, True, False, 0, 1, -1, 2.5, -0.0, 1e300, -1e300, 1e-300, 10**400),
    *(float('nan'), float('inf'), 1j, b'x', '', ' ', 'x', 'False', 'None'),
    *('1', '~no_such_user/x', 'a\0b', 'a\nb', 'x' * 300, 'x' * 5000, '.', '/'),
    *('..', '::', 'a::', '::b', 'mmdet::', 'http://[', 'https://', 'x://y'),
    *('KDLoss', 'CKDHook', 'mmdet.ResNet', 'nothing.at.all', 'a.', '.a'),
    *('teacher.py', 'teacher.pth', '/dev/null', 'loss', 'é', '{}', '${x}'),
    *([], [1], ['a'], [[]], [None], (), (1, 2), {}, {1: 2}, {None: 1}),
    *({'type': None}, {'type': 5}, {'type': 'x'}, {'type': ['KDLoss']}),
    *({'type': 'KDLoss'}, {'a': {'b': []}}, {'': ''}, {('a',): 1}, {1, 2}),
)


def places(node, path=()):
    """Paths to all parts of nested dicts and lists, the whole first."""
    yield path
    if isinstance(node, dict):
        for key in node:
            yield from places(node[key], (*path, key))
    elif isinstance(node, list):
        for index, part in enumerate(node):
            yield from places(part, (*path, index))


def mutate(rng, hooks):
    """Change a list of hooks in one to three places, by chance."""
    whole = dict(hooks=hooks)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        found = [path for path in places(whole) if path]
        if not found:
            break
        path = rng.choice(found)
        node = whole
        for step in path[:-1]:
            node = node[step]
        rng.choice(WAYS)(rng, node, path[-1])
    return whole.get('hooks')


def other_value(rng, node, key):
    node[key] = copy.deepcopy(rng.choice(POOL))


def drop(rng, node, key):
    del node[key]


def rename(rng, node, key):
    if isinstance(node, dict):
        text = str(key)
        at = rng.randrange(len(text) or 1)
        names = (
            text[:at] + text[at + 1 :],
            text[:at] + text[at : at + 1] * 2 + text[at + 1 :],
            text.upper(),
            f'{text}s',
            rng.choice(('', 'type', 'x', 1, None, True, 'a.b', ' ')),
        )
        node[rng.choice(names)] = node.pop(key)


def misspell(rng, node, key):
    if isinstance(node[key], str) and node[key]:
        at = rng.randrange(len(node[key]))
        node[key] = node[key][:at] + node[key][at + 1 :]


def wrap(rng, node, key):
    value = node[key]
    wrapped = ([value], [value, value], (value,), {'x': value}, {1: value})
    node[key] = rng.choice((*wrapped, str(value), repr(value)))


def unwrap(rng, node, key):
    value = node[key]
    if isinstance(value, dict) and value:
        node[key] = value[rng.choice(list(value))]
    elif isinstance(value, (list, tuple)) and value:
        node[key] = value[0]


def exchange(rng, node, key):
    other = rng.choice(list(node) if isinstance(node, dict) else [0])
    node[key], node[other] = node[other], node[key]


def add(rng, node, key):
    value = copy.deepcopy(rng.choice(POOL))
    part = node[key]
    if isinstance(part, dict):
        names = ('x', 'tau', 'loss_x', 'type', '_delete_', '_scope_', 1)
        part[rng.choice(names)] = value
    elif isinstance(part, list):
        part.insert(rng.randrange(len(part) + 1), value)


def repeat(rng, node, key):
    if isinstance(node, list):
        node.append(copy.deepcopy(node[key]))
    elif isinstance(node, dict):
        node[f'{key}_again'] = copy.deepcopy(node[key])


def scale(rng, node, key):
    if isinstance(node[key], (int, float)):
        node[key] = node[key] * rng.choice((-1, 0, 1e9, 1e30, 1e-30, 1.5))


WAYS = (
    *(other_value, other_value, other_value, drop, rename, misspell),
    *(wrap, unwrap, exchange, add, repeat, scale),
)
